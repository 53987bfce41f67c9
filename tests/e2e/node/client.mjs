// Does with OpenAI's Node client what applications do, and prints what came back as one JSON document.
//
//   node client.mjs openai|azure     with GATEWAY and KEY in the environment
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { AzureOpenAI, toFile } from "openai";

const { GATEWAY, KEY } = process.env;
const dialect = process.argv[2];
const sea = [{ role: "user", content: "Write one short sentence about the sea." }];
const asked = { model: "chat", messages: sea, temperature: 0, max_tokens: 12 };

// Another test may kill the process that runs batches meanwhile; the next one takes its time.
const maxRetries = 20;

function made(more = {}) {
  if (dialect === "azure") {
    return new AzureOpenAI({ endpoint: GATEWAY, apiKey: KEY, apiVersion: "2024-10-21", maxRetries, ...more });
  }
  return new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: KEY, maxRetries, ...more });
}

async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return { type: error.constructor.name, status: error.status, code: error.code, id: error.requestID };
  }
}

async function chat(client) {
  const answer = await client.chat.completions.create(asked);
  return { text: answer.choices[0].message.content, model: answer.model, id: answer._request_id, usage: answer.usage };
}

async function streamed(client) {
  const options = { ...asked, stream: true, stream_options: { include_usage: true } };
  const { data, request_id } = await client.chat.completions.create(options).withResponse();
  const chunks = [];
  for await (const chunk of data) chunks.push(chunk);
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  return { text, chunks: chunks.length, id: request_id, last: chunks.at(-1) };
}

async function completion(client) {
  const answer = await client.completions.create({ model: "chat", prompt: "The sea is", max_tokens: 4 });
  return { text: answer.choices[0].text, id: answer._request_id, usage: answer.usage };
}

async function embedded(client) {
  const input = ["the sea", "an invoice"];
  const packed = await client.embeddings.create({ model: "embeddings", input });
  const numbers = await client.embeddings.create({ model: "embeddings", input, encoding_format: "float" });
  const apart = packed.data[0].embedding.map((value, index) => Math.abs(value - numbers.data[0].embedding[index]));
  return { length: packed.data[0].embedding.length, apart: Math.max(...apart), id: packed._request_id, usage: packed.usage };
}

async function models(client) {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return { ids, one: (await client.models.retrieve("chat")).id };
}

async function errors(client) {
  const strange = made({ apiKey: "ek-nobody" });
  return {
    key: await failure(() => strange.models.list()),
    deployment: await failure(() => client.chat.completions.create({ ...asked, model: "nobody" })),
    operation: await failure(() => client.chat.completions.create({ ...asked, model: "embeddings" })),
    broken: await failure(async () => {
      const messages = [{ role: "user", content: "one two [[chunks=9 break=3]]" }];
      const stream = await client.chat.completions.create({ model: "large", messages, stream: true });
      for await (const _ of stream);
    }),
  };
}

async function batch(client) {
  const lines = ["one two", "three"].map((content, index) =>
    JSON.stringify({
      custom_id: `ask-${index + 1}`,
      method: "POST",
      url: "/v1/chat/completions",
      body: { model: "large", messages: [{ role: "user", content }] },
    }),
  );
  const file = await client.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "in.jsonl"), purpose: "batch" });
  // With a deployment, Azure's client asks for the batch below /deployments/{deployment}.
  const maker = dialect === "azure" ? made({ deployment: "large" }) : client;
  const order = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
  let found = await maker.batches.create(order);
  while (!["completed", "failed", "expired", "cancelled"].includes(found.status)) {
    await sleep(100);
    found = await client.batches.retrieve(found.id);
  }
  const output = await (await client.files.content(found.output_file_id)).text();
  const listed = [];
  for await (const item of client.batches.list({ limit: 100 })) listed.push(item.id);
  const other = dialect === "azure" ? await failure(() => made({ deployment: "chat" }).batches.create(order)) : null;
  const deleted = (await client.files.delete(found.output_file_id)).deleted;
  return { status: found.status, lines: output.trim().split("\n").map(JSON.parse), listed: listed.includes(found.id), other, deleted };
}

const client = made();
const found = {};
for (const work of [chat, streamed, completion, embedded, models, errors, batch]) found[work.name] = await work(client);
console.log(JSON.stringify(found));
