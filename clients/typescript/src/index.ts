/**
 * Dispatcher's API, and the verification of its webhooks.
 *
 *     const dispatcher = new Dispatcher({ baseUrl: "https://dispatcher.example.com", token });
 *     const webhook = await dispatcher.webhooks.create({ url, events: ["user.*"] });
 *
 *     const event = await Dispatcher.webhooks.constructEvent(body, headers, secret);
 */
import { Transport, type Options } from "./http.js";
import { constructEvent } from "./receiver.js";
import {
  Audit,
  BulkActions,
  Deliveries,
  Environments,
  Events,
  EventTypes,
  Figures,
  Pauses,
  Quarantine,
  Tokens,
  Webhooks,
} from "./resources.js";

/** A client of the API. Methods throw ApiError or ConnectionFailedError. */
export class Dispatcher {
  /** What programs that receive webhooks need. It works without a client. */
  static readonly webhooks = { constructEvent } as const;

  readonly webhooks: Webhooks;
  readonly deliveries: Deliveries;
  readonly bulkActions: BulkActions;
  readonly events: Events;
  readonly eventTypes: EventTypes;
  readonly environments: Environments;
  readonly tokens: Tokens;
  readonly pauses: Pauses;
  readonly quarantine: Quarantine;
  readonly audit: Audit;
  readonly stats: Figures;
  readonly #transport: Transport;

  constructor(options: Options | Transport) {
    this.#transport = options instanceof Transport ? options : new Transport(options);
    this.webhooks = new Webhooks(this.#transport);
    this.deliveries = new Deliveries(this.#transport);
    this.bulkActions = new BulkActions(this.#transport);
    this.events = new Events(this.#transport);
    this.eventTypes = new EventTypes(this.#transport);
    this.environments = new Environments(this.#transport);
    this.tokens = new Tokens(this.#transport);
    this.pauses = new Pauses(this.#transport);
    this.quarantine = new Quarantine(this.#transport);
    this.audit = new Audit(this.#transport);
    this.stats = new Figures(this.#transport);
  }

  /** Return the same client for another environment, or with undefined for the token's own. */
  within(environment: string | undefined): Dispatcher {
    return new Dispatcher(this.#transport.within(environment));
  }
}

export default Dispatcher;
export type { Options, Page } from "./http.js";
export * from "./errors.js";
export * from "./receiver.js";
export type * from "./types.js";
export type * as resources from "./resources.js";
