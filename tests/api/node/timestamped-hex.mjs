// As an SDK would check it: a signature and a time in two headers, five minutes of tolerance.
import { createHmac, timingSafeEqual } from "node:crypto";
import { each } from "./each.mjs";

const TOLERANCE = 5 * 60;

class SignatureVerificationError extends Error {}

function constructEvent(body, signature, timestamp, secret) {
  if (!/^\d+$/.test(timestamp ?? "")) {
    throw new SignatureVerificationError("no timestamp");
  }
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) {
    throw new SignatureVerificationError("the timestamp is too old");
  }
  const expected = createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest();
  const received = Buffer.from(signature ?? "", "hex");
  if (received.length !== expected.length || !timingSafeEqual(received, expected)) {
    throw new SignatureVerificationError("the signature is invalid");
  }
  return JSON.parse(body.toString());
}

await each((body, headers, secret) =>
  constructEvent(body, headers["x-noderails-signature"], headers["x-noderails-timestamp"], secret),
);
