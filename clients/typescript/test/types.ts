// What the types promise. It is compiled only.
import {
  Dispatcher,
  type DeliveryItem,
  type Page,
  type Webhook,
  type WebhookEvent,
} from "dispatcher-client";
import { constructEvent } from "dispatcher-client/receiver";

export async function story(dispatcher: Dispatcher, request: Request, secret: string) {
  const made = await dispatcher.webhooks.create({ url: "https://example.com/", events: ["*"] });
  const shown: string = made.secret;
  const listed: Webhook[] = await dispatcher.webhooks.list();
  const page: Page<DeliveryItem> = await dispatcher.webhooks.listDeliveries(made.id, {
    status: "FAILED",
    limit: 10,
  });
  const code: number | null | undefined = page.items[0]?.responseStatus;
  const user: WebhookEvent<{ id: string }> = await Dispatcher.webhooks.constructEvent<{ id: string }>(
    await request.arrayBuffer(),
    request.headers,
    secret,
  );
  const id: string = user.data.id;
  const raw = await constructEvent("{}", [["webhook-id", "evt_1"]], [secret, secret], { tolerance: 60 });
  // @ts-expect-error the data of an event has no known type
  const unknown: string = raw.data;
  // @ts-expect-error there is no such status
  await dispatcher.deliveries.list({ status: "LOST" });
  // @ts-expect-error a webhook needs events
  await dispatcher.webhooks.create({ url: "https://example.com/" });
  return [shown, listed, code, id, unknown];
}
