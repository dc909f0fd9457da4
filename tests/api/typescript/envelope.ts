// Create, list, get, update, rotate, delete, with types generated from ?dialect=envelope.
import createClient from "openapi-fetch";
import type { paths } from "./types/envelope.js";

declare const process: { env: Record<string, string> };

const { ADDRESS = "", TOKEN = "" } = process.env;
const client = createClient<paths>({ baseUrl: ADDRESS, headers: { Authorization: `Bearer ${TOKEN}` } });

const made = await client.POST("/api/webhooks", {
  body: { url: "https://receiver.example/hooks", events: ["user.*"], name: "First" },
});
if (made.data === undefined) throw new Error(made.error.error.message);
const webhook = made.data.data;
const secret: string | undefined = webhook.secret;
const path = { webhook_id: webhook.id };

const listed = await client.GET("/api/webhooks", { params: { query: { limit: 10 } } });
const page = listed.data?.data;
const ids = (page === undefined ? [] : "items" in page ? page.items : page).map((each) => each.id);

const changed = await client.PATCH("/api/webhooks/{webhook_id}", {
  params: { path },
  body: { name: "Second" },
});
const shown = await client.GET("/api/webhooks/{webhook_id}", { params: { path } });
const rotated = await client.PATCH("/api/webhooks/{webhook_id}/rotate_secret", { params: { path } });
const gone = await client.DELETE("/api/webhooks/{webhook_id}", { params: { path } });
const missing = await client.GET("/api/webhooks/{webhook_id}", { params: { path } });

console.log(
  JSON.stringify({
    secret,
    listed: ids.includes(webhook.id),
    changed: changed.data?.data.name,
    shown: shown.data?.data.url,
    rotated: rotated.data?.data.secret,
    gone: gone.response.status,
    missing: missing.error?.error.code,
  }),
);
