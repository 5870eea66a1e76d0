#: mkdir -p my-adapter && tar -xzf $PROJECT/examples/experts/sql.expert -C my-adapter adapter_config.json adapter_model.safetensors
#: export HIVELLM_MODELS=$PROJECT/.demo
ls my-adapter     # what PEFT's save_pretrained wrote
hivellm-lite init my-adapter --name expert-sqlite --capability database:sql --yes
hivellm-lite package my-adapter -o expert-sqlite.expert
hivellm-lite keygen ann.key
hivellm-lite sign expert-sqlite.expert --key ann.key
hivellm-lite trust add ann.pub
hivellm-lite install expert-sqlite.expert --require-signature
hivellm-lite run sqlite "Which customers live in Berlin?" --schema "CREATE TABLE customers (id INT, name TEXT, city TEXT);"
