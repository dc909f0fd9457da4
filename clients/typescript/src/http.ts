/** One request of the API: how it is sent, repeated and read. */
import { apiError, ConnectionFailedError, UnavailableError } from "./errors.js";

/** The pause before each repetition of a request; there are no further repetitions. */
const PAUSES_MS = [200, 1000];
/** The `limit` of a page if the program sets none: few large pages instead of many small ones. */
const DEFAULT_LIMIT = 100;

/** A page of a listing. `nextCursor` is null on the last page. A page can be short or empty. */
export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

export type Query = Readonly<Record<string, string | number | boolean | Date | null | undefined>>;

export interface Options {
  /** The address of the daemon, such as `https://dispatcher.example.com`; `/api` is appended to it. */
  baseUrl: string;
  token: string;
  /** The environment, which only a token for all environments needs. Default: `env_default`. */
  environment?: string;
  /** The longest wait for a response, in milliseconds. Default: 30,000. */
  timeout?: number;
  /** Another `fetch`, such as one with a proxy or for tests. */
  fetch?: typeof fetch;
}

interface Request {
  query?: Query;
  body?: unknown;
  /** An Idempotency-Key. A POST has one of its own, unless `repeatable` is false. */
  key?: string;
  repeatable?: boolean;
}

export class Transport {
  readonly #options: Options;
  readonly #base: string;

  /** Throw TypeError, without the token, if the address or the token is unusable. */
  constructor(options: Options) {
    const url = new URL(options.baseUrl);
    if (!["http:", "https:"].includes(url.protocol) || url.username !== "" || url.password !== "") {
      throw new TypeError("baseUrl must be like https://dispatcher.example.com");
    }
    if (typeof options.token !== "string" || !/^[!-~]+$/.test(options.token)) {
      throw new TypeError("a token is needed, of printable ASCII characters");
    }
    this.#options = options;
    this.#base = url.href.replace(/[/?#]*$/, "");
  }

  within(environment: string | undefined): Transport {
    const { environment: _, ...others } = this.#options;
    return new Transport(environment === undefined ? others : { ...others, environment });
  }

  /** Return the data of a response. A request that may be repeated is repeated at most twice. */
  async send<T>(method: string, path: string, request: Request = {}): Promise<T> {
    const repeatable = request.repeatable ?? true;
    const key = request.key ?? (method === "POST" && repeatable ? crypto.randomUUID() : undefined);
    for (let repeated = 0; ; repeated += 1) {
      try {
        return await this.#once<T>(method, path, request, key);
      } catch (error) {
        const isTemporary = error instanceof ConnectionFailedError || error instanceof UnavailableError;
        const pause = PAUSES_MS[repeated];
        if (!isTemporary || !repeatable || pause === undefined) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  /** Yield every item of a listing. The next page is requested when it is needed. */
  async *each<Item>(path: string, query: Query = {}): AsyncGenerator<Item, void, undefined> {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page: Item[] | Page<Item> = await this.send("GET", path, {
        query: { limit: DEFAULT_LIMIT, ...query, ...(cursor === undefined ? {} : { cursor }) },
      });
      yield* Array.isArray(page) ? page : page.items;
      cursor = Array.isArray(page) ? null : page.nextCursor;
    }
  }

  async all<Item>(path: string, query?: Query): Promise<Item[]> {
    const items: Item[] = [];
    for await (const item of this.each<Item>(path, query)) items.push(item);
    return items;
  }

  async #once<T>(method: string, path: string, request: Request, key: string | undefined): Promise<T> {
    const { token, environment, timeout = 30_000 } = this.#options;
    const headers: Record<string, string> = {
      Accept: "application/json",
      Authorization: `Bearer ${token}`,
    };
    if (request.body !== undefined) headers["Content-Type"] = "application/json";
    if (key !== undefined) headers["Idempotency-Key"] = key;
    if (environment !== undefined) headers["X-Environment-Id"] = environment;
    const send = this.#options.fetch ?? fetch;
    let response: Response;
    let text: string;
    try {
      response = await send(this.#base + path + search(request.query), {
        method,
        headers,
        redirect: "manual",
        signal: AbortSignal.timeout(timeout),
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      });
      text = await response.text();
    } catch (error) {
      throw new ConnectionFailedError(`no answer from ${new URL(this.#base).host}: ${reason(error)}`);
    }
    return read<T>(response, text);
  }
}

/** Return the path of a resource below `/api`. Throw TypeError for an id of dots only. */
export function path(...segments: string[]): string {
  return ["/api", ...segments.map(quoted)].join("/");
}

function quoted(segment: string): string {
  // An id such as `..` would lead to another path.
  if (typeof segment !== "string" || /^\.*$/.test(segment)) {
    throw new TypeError(`${JSON.stringify(segment)} is not an id`);
  }
  return encodeURIComponent(segment);
}

function search(query: Query = {}): string {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => [name, value instanceof Date ? value.toISOString() : String(value)]);
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs).toString()}`;
}

function read<T>(response: Response, text: string): T {
  if (response.status === 204) return undefined as T;
  let document: { success?: unknown; data?: T; error?: unknown } = {};
  try {
    document = (JSON.parse(text) as typeof document | null) ?? {};
  } catch {
    // It is not a response of the API, and becomes an error below.
  }
  if (!response.ok || document.success !== true) throw apiError(response, document.error);
  return document.data as T;
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "it took too long";
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}
