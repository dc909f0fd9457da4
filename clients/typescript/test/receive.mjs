// What `constructEvent` makes of requests: in Node, or with the argument `edge` in an edge runtime,
// which has web standards only. Reads a JSON array of requests, and prints one of answers.
import { readFile } from "node:fs/promises";
import { Buffer } from "node:buffer";
import { EdgeVM } from "@edge-runtime/vm";
import { Dispatcher, SignatureVerificationError } from "dispatcher-client";

async function inNode({ body, headers, secret, options }) {
  try {
    const payload = Buffer.from(body, "base64");
    return { event: await Dispatcher.webhooks.constructEvent(payload, headers, secret, options) };
  } catch (error) {
    if (error instanceof SignatureVerificationError) {
      return { refused: error.message, reason: error.reason };
    }
    return { error: error.name, message: error.message };
  }
}

async function edge() {
  const source = await readFile(new URL("../dist/receiver.js", import.meta.url), "utf8");
  const vm = new EdgeVM();
  vm.evaluate(`${source.replace(/^export /gm, "")}
    globalThis.answer = async (text) => {
      const { body, headers, secret, options } = JSON.parse(text);
      const payload = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
      try {
        const given = new Headers(headers);
        return JSON.stringify({ event: await constructEvent(payload, given, secret, options) });
      } catch (error) {
        if (!(error instanceof SignatureVerificationError)) {
          return JSON.stringify({ error: error.name, message: error.message });
        }
        return JSON.stringify({ refused: error.message, reason: error.reason });
      }
    };
    globalThis.names = JSON.stringify([typeof process, typeof Buffer, typeof require]);`);
  if (vm.context.names !== '["undefined","undefined","undefined"]') {
    throw new Error(`this is no edge runtime: ${vm.context.names}`);
  }
  return async (request) => JSON.parse(await vm.context.answer(JSON.stringify(request)));
}

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const requests = JSON.parse(Buffer.concat(chunks).toString());
const answer = process.argv[2] === "edge" ? await edge() : inNode;
const answers = [];
for (const request of requests) answers.push(await answer(request));
console.log(JSON.stringify(answers));
