// The judge of the Cypher corpus: for every line of input, a JSON string with a query, one line
// with the JSON list of the errors that Neo4j's own parser and semantic analysis find in it.
const { createInterface } = require("node:readline");
const { lintCypherQuery } = require("@neo4j-cypher/language-support");

const ERROR = 1;

createInterface({ input: process.stdin }).on("line", (line) => {
  const { diagnostics } = lintCypherQuery(JSON.parse(line), {});
  const errors = diagnostics.filter(({ severity }) => severity === ERROR);
  console.log(JSON.stringify(errors.map(({ message }) => message)));
});
