/** The errors of the client. None of them holds a token or a secret. */

/** A request failed, or its result is unknown. */
export class DispatcherError extends Error {
  override readonly name: string = "DispatcherError";
}

/** There was no response: the network failed, or it took too long. */
export class ConnectionFailedError extends DispatcherError {
  override readonly name = "ConnectionFailedError";
}

/** One invalid part of a request: a message, and where it is. */
export interface ErrorDetail {
  message: string;
  pointer?: string;
  parameter?: string;
  header?: string;
}

/** The API rejected the request. `code` is a stable word for programs. */
export class ApiError extends DispatcherError {
  override readonly name: string = "ApiError";

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: readonly ErrorDetail[] = [],
    readonly requestId?: string,
    /** Seconds after which to try again, if the API gave a time. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** The request is invalid (400, 422 and similar). */
export class InvalidError extends ApiError {
  override readonly name = "InvalidError";
}

/** The token is missing, wrong, expired or revoked (401). */
export class UnauthorizedError extends ApiError {
  override readonly name = "UnauthorizedError";
}

/** The token does not allow the request (403). */
export class ForbiddenError extends ApiError {
  override readonly name = "ForbiddenError";
}

/** The object does not exist, or not in this environment (404). */
export class NotFoundError extends ApiError {
  override readonly name = "NotFoundError";
}

/** The request conflicts with the current state (409, 412). */
export class ConflictError extends ApiError {
  override readonly name = "ConflictError";
}

/** This address has sent too many wrong tokens (429). */
export class RateLimitedError extends ApiError {
  override readonly name = "RateLimitedError";
}

/** The API is unavailable at present (502, 503, 504). */
export class UnavailableError extends ApiError {
  override readonly name = "UnavailableError";
}

const BY_STATUS: Record<number, typeof ApiError> = {
  400: InvalidError,
  401: UnauthorizedError,
  403: ForbiddenError,
  404: NotFoundError,
  405: InvalidError,
  406: InvalidError,
  409: ConflictError,
  412: ConflictError,
  413: InvalidError,
  415: InvalidError,
  422: InvalidError,
  429: RateLimitedError,
  502: UnavailableError,
  503: UnavailableError,
  504: UnavailableError,
};

/**
 * Return the error for a response that is no success. `error` is the `error` of its envelope, or
 * undefined if the response is not one of the API, such as that of a proxy in between.
 */
export function apiError(response: Response, error: unknown): ApiError {
  const kind = BY_STATUS[response.status] ?? ApiError;
  const after = response.headers.get("retry-after") ?? "";
  const seconds = /^\d{1,9}$/.test(after) ? Number(after) : undefined;
  if (typeof error !== "object" || error === null) {
    const message = `The response with status ${response.status} is not one of Dispatcher's API.`;
    return new kind(response.status, `http_${response.status}`, message, [], undefined, seconds);
  }
  const { code, message, details, requestId } = error as {
    code?: unknown;
    message?: unknown;
    details?: ErrorDetail[] | null;
    requestId?: string;
  };
  return new kind(
    response.status,
    String(code),
    String(message),
    details ?? [],
    requestId,
    seconds,
  );
}
