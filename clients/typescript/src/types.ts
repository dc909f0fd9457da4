/** The resources of the API, and what requests give, by the names of the OpenAPI document. */
import type { components } from "./openapi.js";

type Schemas = components["schemas"];

export type Webhook = Schemas["Webhook"];
/** A webhook with its `secret`, which only the responses of `create` and `rotateSecret` have. */
export type WebhookWithSecret = Webhook & { secret: string };
export type NewWebhook = Schemas["NewWebhook"];
export type WebhookChanges = Schemas["WebhookChanges"];
export type Delivery = Schemas["Delivery"];
export type DeliveryItem = Schemas["DeliveryItem"];
export type Attempt = Schemas["Attempt"];
export type Event = Schemas["Event"];
export type EventItem = Schemas["EventItem"];
export type EmittedEvent = Schemas["EmittedEvent"];
export type EventType = Schemas["EventType"];
export type EventTypePut = Schemas["EventTypePut"];
export type Environment = Schemas["Environment"];
export type NewEnvironment = Schemas["NewEnvironment"];
export type Token = Schemas["Token"];
export type NewToken = Schemas["NewToken"];
export type Pause = Schemas["Pause"];
export type Preview = Schemas["Preview"];
export type BulkAction = Schemas["BulkAction"];
export type BulkCount = Schemas["BulkCount"];
export type Recovery = Schemas["Recovery"];
export type QuarantinedEvent = Schemas["QuarantinedEvent"];
export type AuditEntry = Schemas["AuditEntry"];
export type Stats = Schemas["Stats"];

/** A time: a Date, or RFC 3339 text with an offset. */
export type Time = Date | string;
export type Status = DeliveryItem["status"];

/** Where a page of a listing begins, and how many items it has at most. */
export interface PageParams {
  cursor?: string;
  limit?: number;
}

export interface WebhookFilters {
  /** A text in the name or the URL, ignoring case. */
  search?: string;
  state?: "active" | "failing" | "resting" | "disabled";
}

export interface DeliveryFilters {
  status?: Status;
  /** An event type, or `user.*` for all types below it. */
  event?: string;
  since?: Time;
  until?: Time;
}

/** Filters for the deliveries of all webhooks. */
export interface AllDeliveryFilters extends DeliveryFilters {
  /** The last response: `503`, or `5xx` for all that begin with 5. */
  responseStatus?: string;
  errorCode?: string;
  reference?: string;
  webhookId?: string;
}

export interface EventFilters {
  id?: string;
  /** An event type, or `user.*` for all types below it. */
  type?: string;
  since?: Time;
  until?: Time;
  /** The reference that the producer gave. */
  reference?: string;
  /** True to say in `outcome` of each event how its deliveries went. */
  outcome?: boolean;
}

export interface AuditFilters {
  environmentId?: string;
  actor?: string;
  action?: string;
  subject?: string;
}

/** The deliveries of a bulk action: what the filters select, or those with the ids. */
export interface BulkActionParams {
  action: BulkAction["action"];
  /** `{}` matches all deliveries. */
  filters?: AllDeliveryFilters;
  deliveryIds?: readonly string[];
  /** Only deliveries that were there when they were counted: the `below` of the count. */
  below?: string;
  /** Deliveries a second. */
  rate?: number;
}

/** The time span of a replay, and how many deliveries a second it may send. */
export interface RecoverParams {
  since: Time;
  until?: Time;
  /** Whether to send events that the webhook missed as well. Default: true. */
  missed?: boolean;
  rate?: number;
}

/** An event of `emitMany`. */
export interface EventToEmit {
  type: string;
  data?: unknown;
  idempotencyKey?: string;
}
