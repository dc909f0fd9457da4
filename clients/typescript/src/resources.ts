/** The methods of the API, one group for each kind of resource. */
import { path, type Page, type Query, type Transport } from "./http.js";
import type {
  AllDeliveryFilters,
  Attempt,
  AuditEntry,
  AuditFilters,
  BulkAction,
  BulkActionParams,
  BulkCount,
  Delivery,
  DeliveryFilters,
  DeliveryItem,
  EmittedEvent,
  Environment,
  Event,
  EventFilters,
  EventItem,
  EventToEmit,
  EventType,
  EventTypePut,
  NewEnvironment,
  NewToken,
  NewWebhook,
  PageParams,
  Pause,
  Preview,
  QuarantinedEvent,
  RecoverParams,
  Recovery,
  Stats,
  Token,
  Webhook,
  WebhookChanges,
  WebhookFilters,
  WebhookWithSecret,
} from "./types.js";

class Group {
  protected readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  protected read<T>(where: string, query?: object): Promise<T> {
    return this.transport.send<T>("GET", where, query === undefined ? {} : { query: query as Query });
  }

  protected write<T>(where: string, body: unknown, key?: string): Promise<T> {
    return this.transport.send<T>("POST", where, key === undefined ? { body } : { body, key });
  }

  protected drop(where: string): Promise<void> {
    return this.transport.send<void>("DELETE", where);
  }

  protected iterate<Item>(where: string, query?: object): AsyncGenerator<Item, void, undefined> {
    return this.transport.each<Item>(where, query as Query | undefined);
  }
}

/** The methods for webhooks. */
export class Webhooks extends Group {
  /**
   * Create a webhook. Return it with its `secret`, which is shown only this once. There is none if
   * the first response was lost and the request was repeated: rotate the secret then.
   */
  create(params: NewWebhook): Promise<WebhookWithSecret> {
    return this.write(path("webhooks"), params);
  }

  /** Return all webhooks, oldest first, or those that match. */
  list(params?: WebhookFilters): Promise<Webhook[]> {
    return this.transport.all<Webhook>(path("webhooks"), params as Query | undefined);
  }

  get(id: string): Promise<Webhook> {
    return this.read(path("webhooks", id));
  }

  /** Change the given fields of a webhook. null resets a field to its default. */
  update(id: string, params: WebhookChanges): Promise<Webhook> {
    return this.transport.send("PATCH", path("webhooks", id), { body: params });
  }

  /** Delete a webhook and cancel its pending deliveries. */
  delete(id: string): Promise<void> {
    return this.drop(path("webhooks", id));
  }

  /**
   * Replace the signing secret. Return the webhook with the new `secret`, shown only this once. The
   * old one is invalid at once, or also signs for `overlapSeconds`.
   */
  rotateSecret(id: string, params: { overlapSeconds?: number } = {}): Promise<WebhookWithSecret> {
    // A repeated request would lose the secret of the first response.
    return this.transport.send("POST", path("webhooks", id, "rotate_secret"), {
      body: params,
      repeatable: false,
    });
  }

  /** Send the event `webhook.test` to the webhook. Return its delivery. */
  testPing(id: string): Promise<Delivery> {
    return this.write(path("webhooks", id, "test"), {});
  }

  /** Return a page of the webhook's deliveries, newest first. */
  listDeliveries(id: string, params?: DeliveryFilters & PageParams): Promise<Page<DeliveryItem>> {
    return this.read(path("webhooks", id, "deliveries"), params);
  }

  /** Yield all of the webhook's deliveries, newest first. */
  eachDelivery(id: string, params?: DeliveryFilters): AsyncGenerator<DeliveryItem, void, undefined> {
    return this.iterate<DeliveryItem>(path("webhooks", id, "deliveries"), params);
  }

  /** Count what a replay of this time span would send. */
  previewRecovery(id: string, params: RecoverParams): Promise<Preview> {
    return this.write(path("webhooks", id, "recover"), { ...params, dryRun: true });
  }

  /** Replay what failed in a time span, and what the webhook missed. The daemon goes on by itself. */
  recover(id: string, params: RecoverParams): Promise<Recovery> {
    return this.write(path("webhooks", id, "recover"), params);
  }

  /** Return a page of the webhook's replays, newest first. */
  listRecoveries(id: string, params?: PageParams): Promise<Page<Recovery>> {
    return this.read(path("webhooks", id, "recoveries"), params);
  }

  /** Yield all of the webhook's replays, newest first. */
  eachRecovery(id: string): AsyncGenerator<Recovery, void, undefined> {
    return this.iterate<Recovery>(path("webhooks", id, "recoveries"));
  }

  /** Return a replay with its progress. */
  recovery(id: string, recoveryId: string): Promise<Recovery> {
    return this.read(path("webhooks", id, "recoveries", recoveryId));
  }

  /** Cancel a replay. Deliveries that it has created are still sent. */
  cancelRecovery(id: string, recoveryId: string): Promise<Recovery> {
    return this.write(path("webhooks", id, "recoveries", recoveryId, "cancel"), {});
  }
}

/** The methods for deliveries: each is one event for one webhook. */
export class Deliveries extends Group {
  /** Return a page of the deliveries of all webhooks, newest first. */
  list(params?: AllDeliveryFilters & PageParams): Promise<Page<DeliveryItem>> {
    return this.read(path("deliveries"), params);
  }

  each(params?: AllDeliveryFilters): AsyncGenerator<DeliveryItem, void, undefined> {
    return this.iterate<DeliveryItem>(path("deliveries"), params);
  }

  /** Return one delivery, with every attempt in `attemptList`. */
  get(id: string): Promise<Delivery> {
    return this.read(path("deliveries", id));
  }

  attempts(id: string): Promise<Attempt[]> {
    return this.read(path("deliveries", id, "attempts"));
  }

  /** Send a delivery again, even if it ended. If it is pending, send it now. */
  retry(id: string): Promise<Delivery> {
    return this.write(path("deliveries", id, "retry"), {});
  }

  /** Cancel a pending delivery. No further attempt starts. */
  cancel(id: string): Promise<Delivery> {
    return this.write(path("deliveries", id, "cancel"), {});
  }
}

/** The methods that retry or cancel many deliveries of any webhooks. */
export class BulkActions extends Group {
  /** Count what a bulk action would change. Give the `below` of the result to `start`. */
  count(params: BulkActionParams): Promise<BulkCount> {
    return this.write(path("bulk-actions"), { ...params, dryRun: true });
  }

  /** Start a bulk action. The daemon goes on by itself. */
  start(params: BulkActionParams): Promise<BulkAction> {
    return this.write(path("bulk-actions"), params);
  }

  /** Return a page of bulk actions, newest first. */
  list(params?: PageParams): Promise<Page<BulkAction>> {
    return this.read(path("bulk-actions"), params);
  }

  /** Return one bulk action with its progress. */
  get(id: string): Promise<BulkAction> {
    return this.read(path("bulk-actions", id));
  }

  /** Cancel a bulk action. What it has done stays done. */
  cancel(id: string): Promise<BulkAction> {
    return this.write(path("bulk-actions", id, "cancel"), {});
  }
}

/** `reference` is your name for what the event is about: people can search for it. */
export interface EmitOptions {
  idempotencyKey?: string;
  reference?: string;
}

/** The methods for events. */
export class Events extends Group {
  /** Emit an event. For a key that was used before, return the first event. */
  emit(type: string, data: unknown = null, options: EmitOptions = {}): Promise<Event> {
    const { idempotencyKey, reference } = options;
    return this.write(path("events"), { type, data, reference }, idempotencyKey);
  }

  /** Emit up to 1,000 events, all or none. Return the `id` of each, in the same order. */
  async emitMany(
    events: readonly EventToEmit[],
    options: { idempotencyKey?: string } = {},
  ): Promise<EmittedEvent[]> {
    const bodies = events.map((event) => ({ data: null, ...event }));
    const emitted: EmittedEvent[] | Page<EmittedEvent> = await this.write(
      path("events"),
      bodies,
      options.idempotencyKey,
    );
    return Array.isArray(emitted) ? emitted : emitted.items;
  }

  /** Return a page of events, newest first. */
  list(params?: EventFilters & PageParams): Promise<Page<EventItem>> {
    return this.read(path("events"), params);
  }

  each(params?: EventFilters): AsyncGenerator<EventItem, void, undefined> {
    return this.iterate<EventItem>(path("events"), params);
  }

  /** Return one event, with its newest deliveries. */
  get(id: string): Promise<Event> {
    return this.read(path("events", id));
  }

  /** Return a page of the event's deliveries, newest first. */
  listDeliveries(id: string, params?: PageParams): Promise<Page<DeliveryItem>> {
    return this.read(path("events", id, "deliveries"), params);
  }

  /** Yield all of the event's deliveries, newest first. */
  eachDelivery(id: string): AsyncGenerator<DeliveryItem, void, undefined> {
    return this.iterate<DeliveryItem>(path("events", id, "deliveries"));
  }
}

/** The methods for the catalogue of event types. */
export class EventTypes extends Group {
  /** Return all event types, by name. */
  list(): Promise<EventType[]> {
    return this.transport.all<EventType>(path("event-types"));
  }

  get(name: string): Promise<EventType> {
    return this.read(path("event-types", name));
  }

  /** Create an event type, or change the given fields of one. */
  put(name: string, params: EventTypePut): Promise<EventType> {
    return this.transport.send("PUT", path("event-types", name), { body: params });
  }

  /** Remove an event type from the catalogue. Its events are still delivered. */
  delete(name: string): Promise<void> {
    return this.drop(path("event-types", name));
  }
}

/** The methods for environments (tenants); the token needs the scope `admin`. */
export class Environments extends Group {
  list(params?: PageParams): Promise<Page<Environment>> {
    return this.read(path("environments"), params);
  }

  each(): AsyncGenerator<Environment, void, undefined> {
    return this.iterate<Environment>(path("environments"));
  }

  create(params: NewEnvironment): Promise<Environment> {
    return this.write(path("environments"), params);
  }

  /** Rename an environment. Its id stays. */
  rename(id: string, name: string): Promise<Environment> {
    return this.transport.send("PATCH", path("environments", id), { body: { name } });
  }
}

/** The methods for API tokens; the caller's token needs the scope `admin`. */
export class Tokens extends Group {
  /** Create a token. Return it with its text in `token`, which is shown only this once. */
  create(params: NewToken): Promise<Token & { token: string }> {
    return this.write(path("tokens"), params);
  }

  list(params?: PageParams): Promise<Page<Token>> {
    return this.read(path("tokens"), { limit: 100, ...params });
  }

  /** Revoke a token: requests with it are rejected from now on. */
  revoke(id: string): Promise<void> {
    return this.drop(path("tokens", id));
  }
}

/** The methods for pausing the environment, or with `all` all environments. */
export class Pauses extends Group {
  get(): Promise<Pause> {
    return this.read(path("pause"));
  }

  /** Pause sending. Events are accepted and delivered later. */
  pause(params: { all?: boolean } = {}): Promise<Pause> {
    return this.write(path("pause"), params);
  }

  resume(params: { all?: boolean } = {}): Promise<Pause> {
    return this.write(path("resume"), params);
  }
}

/** The methods for events that could not be fanned out. */
export class Quarantine extends Group {
  list(params?: PageParams): Promise<Page<QuarantinedEvent>> {
    return this.read(path("quarantine"), params);
  }

  get(id: string): Promise<QuarantinedEvent> {
    return this.read(path("quarantine", id));
  }

  /** Release an event from quarantine, so that it is fanned out. */
  release(id: string): Promise<void> {
    return this.write(path("quarantine", id, "release"), {});
  }

  /** Discard an event in quarantine, so that it is not fanned out. A recovery of its time still sends it. */
  discard(id: string): Promise<void> {
    return this.drop(path("quarantine", id));
  }
}

/** The methods for the audit log; the token needs the scope `support`. */
export class Audit extends Group {
  /** Return a page of changes with the actor of each, newest first. */
  list(params?: AuditFilters & PageParams): Promise<Page<AuditEntry>> {
    return this.read(path("audit"), params);
  }
}

/** The method for the backlog and the results of the last hour. */
export class Figures extends Group {
  /** Return the figures of the environment, or with `all` those of all environments. */
  get(params?: { all?: boolean }): Promise<Stats> {
    return this.read(path("stats"), params);
  }
}
