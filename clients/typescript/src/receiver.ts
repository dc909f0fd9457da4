/**
 * Verify webhooks in programs that receive them, and read their events.
 *
 * This file needs only Web Crypto and other web standards, so it runs in Node, Deno, Bun, browsers
 * and edge runtimes. Pass the body as it arrived: parsing and writing it again changes the bytes
 * that were signed. Deliveries arrive at least once, so keep the `event_id`s that you have
 * processed, and answer 2xx to a repetition too.
 */

/** The schemes that sign a time, so that a captured request cannot be replayed later. */
export const TIMESTAMPED = ["standard", "timestamped-hex", "stripe"] as const;

/** All schemes. `body-hex` signs only the body. */
export const SCHEMES = [...TIMESTAMPED, "body-hex"] as const;

export type Scheme = (typeof SCHEMES)[number];

/** The event in the body of a delivery. */
export interface WebhookEvent<Data = unknown> {
  event: string;
  event_id: string;
  timestamp: string;
  environment_id: string;
  data: Data;
}

/** The headers of a request, with names in any case. A value may be a list of texts. */
export type HeadersLike =
  | Iterable<readonly [string, string]>
  | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** How many seconds the signed time may differ from `now`, in both directions. Default: 300. */
  tolerance?: number;
  /** The accepted schemes. Default: those that sign a time. */
  schemes?: readonly Scheme[];
  /** Unix seconds. Default: the current time. */
  now?: number;
  /** The header of the signature. Default: all that end in `-signature`, with any brand. */
  signatureHeader?: string;
  /** The header of the time of a `timestamped-hex` signature. */
  timestampHeader?: string;
}

export type Reason = "missing" | "malformed" | "mismatch" | "stale";

/** The request is not authentic. The text says why and holds no secret. */
export class SignatureVerificationError extends Error {
  override readonly name = "SignatureVerificationError";

  /**
   * `reason`: `missing` means no signature of an accepted scheme; `malformed` one in a form that
   * Dispatcher does not write; `mismatch` another secret or an altered body; `stale` a valid
   * signature whose time is too old or too far ahead.
   */
  constructor(
    readonly reason: Reason,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Verify a request and return the event in its body.
 *
 * `payload` is the body as it arrived. `secret` is the text that was shown for the webhook, or
 * several texts during a rotation. Throw SignatureVerificationError if the request is not
 * authentic, SyntaxError if the signature is valid but the body is not a JSON object, and TypeError
 * for arguments that are none.
 */
export async function constructEvent<Data = unknown>(
  payload: string | ArrayBuffer | ArrayBufferView,
  headers: HeadersLike,
  secret: string | readonly string[],
  options: VerifyOptions = {},
): Promise<WebhookEvent<Data>> {
  const body = bytesOf(payload);
  await verify(body, headers, secret, options);
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  const event: unknown = JSON.parse(text);
  if (typeof event !== "object" || event === null || Array.isArray(event)) {
    throw new SyntaxError("the body is not a JSON object");
  }
  return event as WebhookEvent<Data>;
}

/** Return the scheme by which a request is signed. Arguments and errors: see `constructEvent`. */
export async function verify(
  payload: string | ArrayBuffer | ArrayBufferView,
  headers: HeadersLike,
  secret: string | readonly string[],
  options: VerifyOptions = {},
): Promise<Scheme> {
  const body = bytesOf(payload);
  const secrets = secretsOf(secret);
  const accepted = acceptedOf(options.schemes);
  const fields = fieldsOf(headers, options);
  const failures: SignatureVerificationError[] = [];
  for (const [scheme, name] of signatureHeaders(fields, options.signatureHeader)) {
    try {
      if (!accepted.includes(scheme)) throw notAccepted(scheme);
      await check(scheme, CLAIMS[scheme](fields, name, options.timestampHeader), body, secrets, options);
      return scheme;
    } catch (error) {
      if (!(error instanceof SignatureVerificationError)) throw error;
      failures.push(error);
    }
  }
  throw mostSpecific(failures) ?? missing(`the headers hold no signature (${accepted.join(" or ")} expected)`);
}

/** Most signature headers in one request: each costs a pass over the body. */
const MOST_SIGNATURE_HEADERS = 8;
/** Most signatures in one header, of which a rotation needs two. */
const MOST_SIGNATURES = 8;

// Arguments ---------------------------------------------------------------------------------------

function bytesOf(payload: string | ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  if (typeof payload === "string") return new TextEncoder().encode(payload);
  if (ArrayBuffer.isView(payload)) {
    return new Uint8Array(new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength));
  }
  // The ArrayBuffer of another realm, as in a test runner, is no instance of this one's.
  if (Object.prototype.toString.call(payload) === "[object ArrayBuffer]") {
    return new Uint8Array(payload.slice(0));
  }
  throw new TypeError("payload must be the body as it arrived, as text or bytes, before any parsing");
}

function secretsOf(secret: string | readonly string[]): string[] {
  const given: readonly unknown[] = Array.isArray(secret) ? secret : [secret];
  const secrets = given.map((text) => {
    if (typeof text !== "string") throw new TypeError("a secret must be text, or a list of texts");
    return text.trim();
  });
  // With an empty secret anyone can sign.
  if (secrets.length === 0 || secrets.some((text) => text.replace(/^whsec_/, "").trim() === "")) {
    throw new TypeError("a secret cannot be empty");
  }
  return secrets;
}

function acceptedOf(schemes: readonly Scheme[] | undefined): readonly Scheme[] {
  const accepted = schemes ?? TIMESTAMPED;
  if (accepted.length === 0 || accepted.some((scheme) => !SCHEMES.includes(scheme))) {
    throw new TypeError(`schemes must be among ${SCHEMES.join(", ")}`);
  }
  return accepted;
}

// Headers -----------------------------------------------------------------------------------------

/** Return the relevant headers, with names in lower case. */
function fieldsOf(headers: HeadersLike, options: VerifyOptions): Map<string, string> {
  const named = [options.signatureHeader, options.timestampHeader, "webhook-id"];
  const relevant = new Set(named.map((name) => name?.toLowerCase()));
  const fields = new Map<string, string>();
  for (const [rawName, value] of pairsOf(headers)) {
    const name = rawName.trim().toLowerCase();
    if (!relevant.has(name) && !/-(signature|timestamp)$/.test(name)) continue;
    for (const part of Array.isArray(value) ? (value as readonly unknown[]) : [value]) {
      if (part === undefined) continue;
      if (typeof part !== "string") throw new TypeError("a header must be text or a list of texts");
      const text = part.trim();
      // If two differ, a proxy in front may have checked the other one.
      if ((fields.get(name) ?? text) !== text) {
        throw malformed(`two different headers named ${name}`);
      }
      fields.set(name, text);
    }
  }
  return fields;
}

function pairsOf(headers: HeadersLike): Iterable<readonly [string, unknown]> {
  const argument: unknown = headers;
  if (typeof argument !== "object" || argument === null) {
    throw new TypeError("headers must be a Headers object, pairs, or an object");
  }
  if (Symbol.iterator in argument) return argument as Iterable<readonly [string, string]>;
  return Object.entries(argument);
}

/** Return the scheme, which the value's form shows, and the name of every signature header. */
function signatureHeaders(
  fields: ReadonlyMap<string, string>,
  signatureHeader: string | undefined,
): [Scheme, string][] {
  const names = [...fields.keys()].filter((name) =>
    signatureHeader === undefined ? name.endsWith("-signature") : name === signatureHeader.toLowerCase(),
  );
  if (names.length > MOST_SIGNATURE_HEADERS) throw malformed(`${names.length} signature headers`);
  return names.map((name) => [schemeOf(name, fields.get(name) ?? ""), name]);
}

function schemeOf(name: string, value: string): Scheme {
  if (name === "webhook-signature") return "standard";
  if (value.startsWith("sha256=")) return "body-hex";
  return value.startsWith("t=") ? "stripe" : "timestamped-hex";
}

// Claims ------------------------------------------------------------------------------------------

/** The content of a signature header, not verified: a signature covers `prefix` and the body. */
interface Claim {
  signatures: string[];
  prefix: string;
  timestamp: number | null;
}

type Reader = (
  fields: ReadonlyMap<string, string>,
  name: string,
  timestampHeader: string | undefined,
) => Claim;

const CLAIMS: Record<Scheme, Reader> = {
  standard(fields, name) {
    const id = fields.get("webhook-id");
    const timestamp = fields.get("webhook-timestamp");
    if (id === undefined || timestamp === undefined) {
      throw missing("webhook-signature came without webhook-id or webhook-timestamp");
    }
    // With a dot in the id, the signed text could be split at another place.
    if (!/^[A-Za-z0-9_-]+$/.test(id)) throw malformed("webhook-id is not an id");
    const tokens = (fields.get(name) ?? "").split(/\s+/);
    const signatures = tokens.filter((token) => token.startsWith("v1,")).map((token) => token.slice(3));
    return { signatures, prefix: `${id}.${timestamp}.`, timestamp: seconds(timestamp) };
  },

  "timestamped-hex"(fields, name, timestampHeader) {
    const timestamp = fields.get((timestampHeader ?? besideOf(fields, name)).toLowerCase());
    if (timestamp === undefined) throw missing(`${name} came without a header for its timestamp`);
    const signatures = [fields.get(name) ?? ""];
    return { signatures, prefix: `${timestamp}.`, timestamp: seconds(timestamp) };
  },

  stripe(fields, name) {
    const items = (fields.get(name) ?? "").split(",").map((item) => {
      const at = item.indexOf("=");
      return [item.slice(0, at), item.slice(at + 1)] as const;
    });
    const [timestamp, ...more] = items.filter(([key]) => key === "t").map(([, text]) => text);
    if (timestamp === undefined || more.length > 0) throw malformed(`${name} holds several timestamps`);
    const signatures = items.filter(([key]) => key === "v1").map(([, text]) => text);
    return { signatures, prefix: `${timestamp}.`, timestamp: seconds(timestamp) };
  },

  "body-hex"(fields, name) {
    const signatures = [(fields.get(name) ?? "").replace(/^sha256=/, "")];
    return { signatures, prefix: "", timestamp: null };
  },
};

/** Return the name of the header with the time that belongs to a signature header. */
function besideOf(fields: ReadonlyMap<string, string>, name: string): string {
  const beside = name.replace(/signature$/, "timestamp");
  const others = [...fields.keys()].filter(
    (each) => each.endsWith("-timestamp") && each !== "webhook-timestamp",
  );
  return others.includes(beside) || others.length !== 1 ? beside : (others[0] ?? beside);
}

function seconds(timestamp: string): number {
  if (!/^[0-9]{1,12}$/.test(timestamp)) throw malformed("the timestamp is not a number of Unix seconds");
  return Number(timestamp);
}

// Signatures --------------------------------------------------------------------------------------

/** Throw SignatureVerificationError unless a signature of the claim is valid and recent. */
async function check(
  scheme: Scheme,
  claim: Claim,
  body: Uint8Array,
  secrets: readonly string[],
  options: VerifyOptions,
): Promise<void> {
  if (claim.signatures.length > MOST_SIGNATURES) throw malformed("too many signatures in one header");
  const prefix = new TextEncoder().encode(claim.prefix);
  const message = new Uint8Array(prefix.length + body.length);
  message.set(prefix);
  message.set(body, prefix.length);
  if (!(await isSigned(scheme, claim.signatures, message, secrets))) {
    throw new SignatureVerificationError(
      "mismatch",
      "no signature matches: another secret, or an altered body",
    );
  }
  if (claim.timestamp === null) return;
  const age = (options.now ?? Date.now() / 1000) - claim.timestamp;
  const tolerance = options.tolerance ?? 300;
  if (!(Math.abs(age) <= tolerance)) {
    const difference = `${Math.abs(age).toFixed(0)} s ${age > 0 ? "ago" : "ahead"}`;
    throw new SignatureVerificationError(
      "stale",
      `the timestamp is wrong: signed ${difference}, at most ${tolerance} s allowed`,
    );
  }
}

async function isSigned(
  scheme: Scheme,
  signatures: readonly string[],
  message: Uint8Array<ArrayBuffer>,
  secrets: readonly string[],
): Promise<boolean> {
  const decode = scheme === "standard" ? fromBase64 : fromHex;
  const received = signatures.map(decode).filter((each) => each !== null && each.length === 32);
  for (const secret of secrets) {
    const raw = keyOf(scheme, secret);
    if (raw === null || raw.length === 0) continue; // no signature of this scheme uses such a secret
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", raw, algorithm, false, ["verify"]);
    for (const signature of received) {
      // Web Crypto compares in constant time.
      if (signature !== null && (await crypto.subtle.verify("HMAC", key, signature, message))) return true;
    }
  }
  return false;
}

function keyOf(scheme: Scheme, secret: string): Uint8Array<ArrayBuffer> | null {
  if (scheme !== "standard") return new TextEncoder().encode(secret);
  return fromBase64(secret.replace(/^whsec_/, ""));
}

function fromHex(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^([0-9a-f]{2})+$/.test(text)) return null;
  return Uint8Array.from({ length: text.length / 2 }, (_, at) => parseInt(text.slice(2 * at, 2 * at + 2), 16));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

// Errors ------------------------------------------------------------------------------------------

function missing(message: string): SignatureVerificationError {
  return new SignatureVerificationError("missing", message);
}

function malformed(message: string): SignatureVerificationError {
  return new SignatureVerificationError("malformed", message);
}

function notAccepted(scheme: Scheme): SignatureVerificationError {
  if (scheme === "body-hex") {
    return missing(
      'the signature covers no time, so the request could be a replay; schemes: ["body-hex"] accepts that',
    );
  }
  return missing(`signed by the scheme ${scheme}, which is not among the accepted schemes`);
}

/** Return the failure that says most about the request, undefined if there is none. */
function mostSpecific(
  failures: readonly SignatureVerificationError[],
): SignatureVerificationError | undefined {
  for (const reason of ["stale", "mismatch", "malformed"] as const) {
    const found = failures.find((failure) => failure.reason === reason);
    if (found !== undefined) return found;
  }
  return failures[0];
}
