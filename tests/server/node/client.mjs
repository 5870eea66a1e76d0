// What the official Node client sees of a server: one JSON object, {check: {value} or {error}}.
// test_node_client.py runs it and judges the values. HIVELLM_ADDRESS is the server's address.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const baseURL = `${process.env.HIVELLM_ADDRESS}/v1`;
const client = new OpenAI({ baseURL, apiKey: "secret", maxRetries: 0 });
const chats = client.chat.completions;

const greedy = {
  model: "sql", messages: [{ role: "user", content: "Hello" }], temperature: 0, max_tokens: 8,
};
const Verdict = z.object({ ok: z.boolean(), level: z.enum(["low", "high"]) });
const structured = {
  ...greedy, max_tokens: 60, response_format: zodResponseFormat(Verdict, "verdict"),
};
const plainFormat = {
  type: "json_schema",
  json_schema: {
    name: "verdict",
    strict: true,
    schema: {
      type: "object",
      properties: { ok: { type: "boolean" } },
      required: ["ok"],
      additionalProperties: false,
    },
  },
};

const text = (answer) => answer.choices[0].message.content;

async function collected(stream) {
  const seen = { text: "", roles: [], reasons: [], usage: null, kinds: [] };
  for await (const chunk of stream) {
    seen.kinds.push(chunk.object);
    if (chunk.usage) seen.usage = chunk.usage;
    for (const choice of chunk.choices) {
      seen.text += choice.delta.content ?? "";
      if (choice.delta.role) seen.roles.push(choice.delta.role);
      if (choice.finish_reason) seen.reasons.push(choice.finish_reason);
    }
  }
  return seen;
}

// The class of an error and what it tells.
async function refusal(asking) {
  try {
    return { answered: await asking };
  } catch (error) {
    const { status, code, param, type, message } = error;
    return { name: error.constructor.name, status, code, param, type, message };
  }
}

// A group of checks for each part of the API: a new part is a group here, named in `groups` at
// the end, and its tests in test_node_client.py.

const models = {
  async models_listed() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return ids;
  },
  async model_told() {
    return client.models.retrieve("sql");
  },
};

const chat = {
  async chat() {
    return chats.create(greedy);
  },
  async chat_in_parts() {
    const parts = [{ type: "text", text: "Hel" }, { type: "text", text: "lo" }];
    return text(await chats.create({ ...greedy, messages: [{ role: "user", content: parts }] }));
  },
  async chat_of_several_choices() {
    const answer = await chats.create({ ...greedy, n: 2 });
    return answer.choices.map((choice) => [choice.index, choice.message.content]);
  },
  async chats_at_once() {
    return Promise.all([1, 2, 3].map(async () => text(await chats.create(greedy))));
  },
  async grammar() {
    return text(await chats.create({ ...greedy, grammar: 'root ::= "yes"' }));
  },
};

const streams = {
  async stream() {
    const options = { stream: true, stream_options: { include_usage: true } };
    return collected(await chats.create({ ...greedy, ...options }));
  },
  async stream_of_wide_characters() {
    const grammar = 'root ::= "é🙂日本"';
    return collected(await chats.create({ ...greedy, max_tokens: 60, grammar, stream: true }));
  },
  async stream_helper() {
    const stream = chats.stream({ ...greedy, grammar: 'root ::= "yes"' });
    const pieces = [];
    stream.on("content", (piece) => pieces.push(piece));
    return { final: await stream.finalContent(), pieces };
  },
  async stream_left() {
    for await (const chunk of await chats.create({ ...greedy, max_tokens: 200, stream: true })) {
      if (chunk.choices[0].delta.content) return "left";
    }
    return "ended";
  },
};

const schemas = {
  async zod_parsed() {
    return (await chats.parse(structured)).choices[0].message.parsed;
  },
  async zod_parsed_from_a_stream() {
    const answer = await chats.stream(structured).finalChatCompletion();
    return answer.choices[0].message.parsed;
  },
  async json_schema() {
    return JSON.parse(text(await chats.create({ ...greedy, response_format: plainFormat })));
  },
};

const completions = {
  async completions() {
    const asked = { model: "sql", prompt: ["Once", "Then"], max_tokens: 4, temperature: 0 };
    return (await client.completions.create(asked)).choices;
  },
  async completion_streamed() {
    const asked = { model: "sql", prompt: "Once", max_tokens: 4, temperature: 0, stream: true };
    let all = "";
    for await (const chunk of await client.completions.create(asked)) {
      all += chunk.choices[0]?.text ?? "";
    }
    return all;
  },
};

const errors = {
  async wrong_model() {
    return refusal(chats.create({ ...greedy, model: "gpt-4o" }));
  },
  async wrong_model_streamed() {
    return refusal(chats.create({ ...greedy, model: "gpt-4o", stream: true }));
  },
  async wrong_key() {
    return refusal(client.withOptions({ apiKey: "wrong" }).models.list());
  },
  async wrong_value() {
    return refusal(chats.create({ ...greedy, temperature: "hot" }));
  },
  async full() {
    return refusal(chats.create(greedy, { headers: { "X-Full": "always" } }));
  },
  async full_once() {
    const options = { maxRetries: 2, headers: { "X-Full": "once" } };
    return text(await chats.create(greedy, options));
  },
};

const groups = [models, chat, streams, schemas, completions, errors];

const outcomes = {};
for (const [name, check] of groups.flatMap(Object.entries)) {
  try {
    outcomes[name] = { value: await check() };
  } catch (error) {
    outcomes[name] = { error: String(error.stack ?? error) };
  }
}
console.log(JSON.stringify(outcomes));
