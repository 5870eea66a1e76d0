#: ln -s $PROJECT/examples/experts/*.expert . && ln -s $PROJECT/.demo/*.gguf .
#: printf 'Node labels:\n- Person(name, age)\n- Movie(title, year)\nRelationships:\n- (:Person)-[:ACTED_IN]->(:Movie)\n' > films.txt
#: export HIVELLM_MODELS=$STAGE/work
#: for one in sql cypher json; do hivellm-lite convert $one.expert > /dev/null 2>&1; done
# Three experts for one small base model, converted before. HIVELLM_MODELS names its folder.
ls
hivellm-lite run sql.expert "Which customers live in Berlin?" --schema "CREATE TABLE customers (id INT, name TEXT, city TEXT);"
hivellm-lite run cypher.expert "Which movies did Tom Hanks act in?" --schema @films.txt
hivellm-lite run json.expert "Anna is 31 and lives in Oslo." --json-schema '{"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}}, "required": ["name", "age"], "additionalProperties": false}'
hivellm-lite route "Write SQL for it" sql.expert cypher.expert
