// Writes src/openapi.ts from the OpenAPI document of this version. Only the envelope is described,
// because this client sends and reads nothing else.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const JSON_API = "application/vnd.api+json";
const source =
  process.argv[2] ?? new URL("../../../dispatcher/api/openapi/openapi.json", import.meta.url);

function withoutJsonApi(value) {
  if (Array.isArray(value)) return value.map(withoutJsonApi);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== JSON_API && !name.startsWith("JsonApi"))
      .map(([name, each]) => [name, withoutJsonApi(each)]),
  );
}

const document = withoutJsonApi(JSON.parse(await readFile(source, "utf8")));
const types = astToString(await openapiTS(document, { defaultNonNullable: false }));
const head = "// Generated from the OpenAPI document by `npm run generate`. Do not edit.\n\n";
await writeFile(new URL("../src/openapi.ts", import.meta.url), head + types);
