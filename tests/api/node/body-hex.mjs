import crypto from "crypto";
import { each } from "./each.mjs";

// As people find it printed, and paste it.
function verifyWebhook(rawBody, signatureHeader, secret) {
  const expected = crypto
    .createHmac("sha256", secret)
    .update(rawBody)
    .digest("hex");

  const received = signatureHeader.replace("sha256=", "");
  return crypto.timingSafeEqual(
    Buffer.from(expected),
    Buffer.from(received)
  );
}

await each((body, headers, secret) => {
  if (!verifyWebhook(body, headers["x-paylent-signature"], secret)) {
    throw new Error("the signature is invalid");
  }
  return JSON.parse(body.toString());
});
