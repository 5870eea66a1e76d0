// What the official Node client sees of a server: one JSON object, {check: {value} or {error}}.
// test_node_client.py runs it and judges the values. HIVELLM_ADDRESS is the server's address.

import OpenAI from "openai";
import {
  zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat,
} from "openai/helpers/zod";
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

const City = z.object({ city: z.enum(["Rome", "Oslo"]) });
const weather = { name: "weather", description: "Tell the weather of a city.", parameters: City };
const calling = {
  ...greedy, max_tokens: 60, tools: [zodFunction(weather)], tool_choice: "required",
  parallel_tool_calls: false,
};
const responding = { model: "sql", input: "Hello", temperature: 0, max_output_tokens: 8 };
const respondingWithCall = {
  ...responding, max_output_tokens: 60, tools: [zodResponsesFunction(weather)],
  tool_choice: "required", parallel_tool_calls: false,
};
const respondingInForm = {
  ...responding, max_output_tokens: 60, text: { format: zodTextFormat(Verdict, "verdict") },
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

const tools = {
  async call() {
    return (await chats.create(calling)).choices[0];
  },
  async call_of_a_named_tool() {
    const named = { type: "function", function: { name: "weather" } };
    return (await chats.create({ ...calling, tool_choice: named })).choices[0];
  },
  async calls_at_once() {
    const answer = await chats.create({
      ...calling, max_tokens: 400, parallel_tool_calls: true,
    });
    return answer.choices[0];
  },
  async call_parsed() {
    return (await chats.parse(calling)).choices[0].message.tool_calls[0].function;
  },
  async call_streamed() {
    const deltas = [];
    for await (const chunk of await chats.create({ ...calling, stream: true })) {
      deltas.push(...(chunk.choices[0].delta.tool_calls ?? []));
    }
    return deltas;
  },
  async call_in_the_stream_helper() {
    const stream = chats.stream(calling);
    const seen = { deltas: [], done: [] };
    stream.on("tool_calls.function.arguments.delta", (one) => seen.deltas.push(one));
    stream.on("tool_calls.function.arguments.done", (one) => seen.done.push(one));
    const choice = (await stream.finalChatCompletion()).choices[0];
    return { ...seen, message: choice.message, finish_reason: choice.finish_reason };
  },
  async tool_that_the_client_runs() {
    return ranByTheClient({});
  },
  async tool_that_the_client_runs_from_a_stream() {
    return ranByTheClient({ stream: true });
  },
};

// The client's own loop: a call, its result, an answer. The model would call for ever, so the
// request with a result forbids more calls and asks for a short text.
async function ranByTheClient(options) {
  const sent = [];
  const asking = (url, init) => {
    const body = JSON.parse(init.body);
    if (body.messages.at(-1).role === "tool") {
      Object.assign(body, { tool_choice: "none", grammar: 'root ::= "sunny"' });
    }
    sent.push(body.tool_choice);
    return fetch(url, { ...init, body: JSON.stringify(body) });
  };
  const cities = [];
  const tell = ({ city }) => {
    cities.push(city);
    return `sun in ${city}`;
  };
  const runner = client.withOptions({ fetch: asking }).chat.completions.runTools(
    { ...calling, ...options, tools: [zodFunction({ ...weather, function: tell })] },
  );
  const final = await runner.finalContent();
  return { final, cities, sent, roles: runner.messages.map((message) => message.role) };
}

async function eventsOf(asked) {
  const stream = client.responses.stream(asked);
  const seen = { kinds: [], text: "", snapshot: "", arguments: "" };
  stream.on("response.output_text.delta", (event) => { seen.snapshot = event.snapshot; });
  for await (const event of stream) {
    seen.kinds.push(event.type);
    if (event.type === "response.output_text.delta") seen.text += event.delta;
    if (event.type === "response.function_call_arguments.delta") seen.arguments += event.delta;
  }
  return { ...seen, final: await stream.finalResponse() };
}

const responses = {
  async response() {
    return client.responses.create(responding);
  },
  async response_streamed() {
    return eventsOf(responding);
  },
  async response_with_a_thought_streamed() {
    const grammar = 'root ::= "<think>Hm.</think>yes"';
    return eventsOf({ ...responding, max_output_tokens: 60, grammar });
  },
  async response_with_a_call() {
    return client.responses.parse(respondingWithCall);
  },
  async response_with_a_call_streamed() {
    return eventsOf(respondingWithCall);
  },
  async response_to_a_result() {
    const first = await client.responses.create(respondingWithCall);
    const [call] = first.output;
    const result = { type: "function_call_output", call_id: call.call_id, output: "sun" };
    const input = [{ role: "user", content: "Hello" }, ...first.output, result];
    return client.responses.create({ ...responding, tools: respondingWithCall.tools,
      tool_choice: "none", input });
  },
  async response_in_form() {
    return (await client.responses.parse(respondingInForm)).output_parsed;
  },
  async response_in_form_streamed() {
    return (await eventsOf(respondingInForm)).final.output_parsed;
  },
  async response_after_another() {
    return refusal(client.responses.create({ ...responding, previous_response_id: "resp_1" }));
  },
  async response_after_another_streamed() {
    const asked = { ...responding, previous_response_id: "resp_1" };
    return refusal(client.responses.stream(asked).finalResponse());
  },
};

const probabilities = {
  async logprobs() {
    const answer = await chats.create({ ...greedy, logprobs: true, top_logprobs: 2 });
    return { text: text(answer), tokens: answer.choices[0].logprobs.content };
  },
  async logprobs_from_the_stream_helper() {
    const stream = chats.stream({ ...greedy, logprobs: true, top_logprobs: 2 });
    let n_told = 0;
    stream.on("logprobs.content.delta", ({ content }) => { n_told += content.length; });
    const answer = await stream.finalChatCompletion();
    return { n_told, tokens: answer.choices[0].logprobs.content };
  },
  async logprobs_of_a_response() {
    const include = ["message.output_text.logprobs"];
    const response = await client.responses.create({ ...responding, include, top_logprobs: 2 });
    return response.output[0].content[0].logprobs;
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

const groups = [
  models, chat, streams, schemas, tools, responses, probabilities, completions, errors,
];

const outcomes = {};
for (const [name, check] of groups.flatMap(Object.entries)) {
  try {
    outcomes[name] = { value: await check() };
  } catch (error) {
    outcomes[name] = { error: String(error.stack ?? error) };
  }
}
console.log(JSON.stringify(outcomes));
