import { Webhook } from "standardwebhooks";
import { each } from "./each.mjs";

await each((body, headers, secret) => new Webhook(secret).verify(body, headers));
