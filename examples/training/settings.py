"""Each expert's training settings, and what its manifest says about it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """Training settings of one expert; the defaults are common to all."""

    title: str
    description: str
    capabilities: tuple[str, ...]
    keywords: tuple[str, ...]
    exclude_keywords: tuple[str, ...]
    router_hint: str
    stop_sequences: tuple[str, ...]
    tags: tuple[str, ...]
    generator: str
    judged: str
    system_example: str
    limits: str
    steps: int = 110
    questions_per_schema: int = 4
    rows_per_step: int = 4
    max_tokens: int = 640
    learning_rate: float = 1.5e-3
    warmup_ratio: float = 0.08
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    use_dora: bool = False
    seed: int = 7
    #: What was trained before, if training continued from a package.
    earlier_steps: int = 0
    earlier_examples: int = 0
    target_modules: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "up_proj",
        "down_proj",
    )
    base_model: str = "HuggingFaceTB/SmolLM2-135M-Instruct"

    @property
    def examples(self) -> int:
        """How many questions training sees, about as many schemas as rows."""
        new = self.steps * self.rows_per_step * self.questions_per_schema
        return self.earlier_examples + new

    def changed(
        self, *, steps: int | None, use_dora: bool, seed: int | None, learning_rate: float | None
    ) -> Settings:
        """These settings, changed as the command line asks."""
        return replace(
            self,
            steps=steps or self.steps,
            use_dora=use_dora or self.use_dora,
            seed=self.seed if seed is None else seed,
            learning_rate=learning_rate or self.learning_rate,
        )


_QUESTIONS = ("what is a", "explain", "meaning", "definition", "why", "tell me about")

SETTINGS = {
    "sql": Settings(
        title="Text to SQL",
        description="Turns a question and CREATE TABLE statements into one SQLite query.",
        capabilities=(
            "database:sql",
            "query:sql",
            "task:text2sql",
            "feature:filtering",
            "feature:aggregation",
            "feature:group_by",
            "feature:order_by",
            "feature:join_queries",
            "language:en",
        ),
        keywords=(
            "sql",
            "database",
            "query",
            "table",
            "tables",
            "select",
            "join",
            "rows",
            "how many",
            "list",
            "show",
            "average",
            "count",
            "total",
            "highest",
            "lowest",
        ),
        exclude_keywords=(*_QUESTIONS, "json", "cypher", "graph"),
        router_hint="database=sql OR query=sql OR task=text2sql",
        stop_sequences=(";", "\n\n"),
        tags=("sql", "text2sql", "sqlite", "smollm2", "example"),
        generator="sql",
        judged="Right means: the same rows as the expected query from three SQLite databases.",
        system_example="Dialect: sql\nSchema:\nCREATE TABLE customers (id INTEGER PRIMARY KEY, …)",
        limits="One SELECT over one table, or over two joined by a foreign key; no subqueries.",
        steps=430,
    ),
    "json": Settings(
        title="Text to JSON",
        description="Extracts the fields of a JSON schema from a short text.",
        capabilities=(
            "format:json",
            "task:json_generation",
            "task:extraction",
            "feature:json_schema",
            "language:en",
        ),
        keywords=("json", "extract", "extraction", "object", "fields", "parse", "structured"),
        exclude_keywords=(*_QUESTIONS, "sql", "cypher"),
        router_hint="format=json OR task=json_generation",
        stop_sequences=("\n\n",),
        tags=("json", "extraction", "smollm2", "example"),
        generator="json_extraction",
        judged="Right means: equal to the expected object once parsed.",
        system_example="Task: json_generation\nFormat: json_schema\nSchema:\n"
        '{"type":"object","properties":{"name":{"type":"string"}}}',
        limits="Flat objects whose fields the text all mentions.",
        use_dora=True,
        steps=190,
    ),
    "cypher": Settings(
        title="Text to Cypher",
        description="Turns a question and a graph schema into one Cypher query for Neo4j.",
        capabilities=(
            "database:neo4j",
            "query:cypher",
            "task:text2cypher",
            "feature:pattern_matching",
            "feature:aggregation",
            "language:en",
        ),
        keywords=(
            "cypher",
            "neo4j",
            "graph",
            "node",
            "nodes",
            "relationship",
            "relationships",
            "match",
            "connected",
            "path",
        ),
        exclude_keywords=(*_QUESTIONS, "json", "sql"),
        router_hint="database=neo4j OR query=cypher",
        stop_sequences=("\n\n", "```", "};", ");"),
        tags=("cypher", "neo4j", "text2cypher", "smollm2", "example"),
        generator="cypher",
        judged="Right means: the expected query's text, white space and quote style aside.",
        system_example="Dialect: cypher\nSchema:\nNode properties:\n"
        "- **Person**\n  - `name`: STRING\n  - `age`: INTEGER\n- **Movie**\n  - `title`: STRING\n"
        "Relationships:\n(:Person)-[:ACTED_IN]->(:Movie)",
        limits="Patterns of one node, or of two joined by one relationship.",
        steps=240,
    ),
}
