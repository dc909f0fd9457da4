// What `constructEvent` makes of requests in Deno, without any permission: see receive.mjs.
import { constructEvent, SignatureVerificationError } from "../dist/receiver.js";

async function answer({ body, headers, secret, options }) {
  const payload = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
  try {
    return { event: await constructEvent(payload, new Headers(headers), secret, options) };
  } catch (error) {
    if (error instanceof SignatureVerificationError) {
      return { refused: error.message, reason: error.reason };
    }
    return { error: error.name, message: error.message };
  }
}

const requests = await new Response(Deno.stdin.readable).json();
console.log(JSON.stringify(await Promise.all(requests.map(answer))));
