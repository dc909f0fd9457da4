// The same with types generated from ?dialect=jsonapi.
import createClient from "openapi-fetch";
import type { paths } from "./types/jsonapi.js";

declare const process: { env: Record<string, string> };

const { ADDRESS = "", TOKEN = "" } = process.env;
const media = "application/vnd.api+json";
const client = createClient<paths>({
  baseUrl: ADDRESS,
  headers: { Authorization: `Bearer ${TOKEN}`, Accept: media, "Content-Type": media },
});

const made = await client.POST("/api/webhooks", {
  body: {
    data: {
      type: "webhook",
      attributes: { url: "https://receiver.example/hooks", events: ["user.created"], name: "First" },
    },
  },
  parseAs: "json",
});
if (made.data === undefined) throw new Error(JSON.stringify(made.error));
const webhook = made.data.data;
const secret: string | undefined = webhook.attributes.signing_secret;
const path = { webhook_id: webhook.id };

const shown = await client.GET("/api/webhooks/{webhook_id}", { params: { path }, parseAs: "json" });
const rotated = await client.PATCH("/api/webhooks/{webhook_id}/rotate_secret", {
  params: { path },
  parseAs: "json",
});
const gone = await client.DELETE("/api/webhooks/{webhook_id}", { params: { path } });
const missing = await client.GET("/api/webhooks/{webhook_id}", { params: { path }, parseAs: "json" });

console.log(
  JSON.stringify({
    secret,
    shown: shown.data?.data.attributes.url,
    rotated: rotated.data?.data.attributes.signing_secret,
    gone: gone.response.status,
    missing: missing.error?.errors[0]?.code,
  }),
);
