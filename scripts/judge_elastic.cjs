// The judge of the Elasticsearch corpus: for every line of input, a JSON string with a search
// body, one line with the JSON list of what is wrong with it: as JSON, or by the types of the
// search request that Elastic makes from the specification of its API.
const { dirname, join } = require("node:path");
const { createInterface } = require("node:readline");
const ts = require("typescript");

const types = join(dirname(require.resolve("@elastic/elasticsearch")), "lib/api/types");
const file = `${__dirname}/body.ts`;
let version = 0;
let source = "";

const service = ts.createLanguageService({
  getCompilationSettings: () => ({ strict: true, skipLibCheck: true, noEmit: true }),
  getScriptFileNames: () => [file],
  getScriptVersion: (name) => (name === file ? String(version) : "0"),
  getScriptSnapshot: (name) => {
    const text = name === file ? source : ts.sys.readFile(name);
    return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
  },
  getCurrentDirectory: () => __dirname,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  fileExists: (name) => name === file || ts.sys.fileExists(name),
  readFile: ts.sys.readFile,
});

function problems(body) {
  try {
    JSON.parse(body);
  } catch (error) {
    return [error.message];
  }
  version += 1;
  source = `import { SearchRequest } from ${JSON.stringify(types)};
const body: SearchRequest = ${body};`;
  const found = [...service.getSyntacticDiagnostics(file), ...service.getSemanticDiagnostics(file)];
  return found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
}

createInterface({ input: process.stdin }).on("line", (line) => {
  console.log(JSON.stringify(problems(JSON.parse(line))));
});
