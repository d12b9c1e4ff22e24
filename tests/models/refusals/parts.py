"""Refusals of a part of the request, and the part."""

from __future__ import annotations

from tests.models.refusals.bodies import extra, flat, google, llama, openai, openrouter

PARTS: dict[str, tuple[int, object, str]] = {
    # -------------------------------------------------------------------- fields
    "OpenAI, by param": (
        400,
        openai("Unsupported parameter", None, "reasoning_effort"),
        "reasoning_effort",
    ),
    "OpenAI, inner field": (
        400,
        openai("Your organization must be verified", "unsupported_value", "reasoning.summary"),
        "reasoning.summary",
    ),
    "OpenAI, without param": (
        400,
        openai("Unrecognized request argument supplied: reasoning_effort"),
        "reasoning_effort",
    ),
    "OpenAI, several": (
        400,
        openai("Unrecognized request arguments supplied: prompt_cache_key, safety_identifier"),
        "prompt_cache_key",
    ),
    "OpenAI, one value": (
        400,
        openai("Unsupported value: 'temperature' does not support 0.2 with this model."),
        "temperature",
    ),
    "OpenAI, the other limit": (
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        ),
        "max_tokens",
    ),
    "the other limit, the other way round": (
        400,
        openai("Please use 'max_completion_tokens' instead of 'max_tokens'."),
        "max_tokens",
    ),
    "vLLM of before": (
        400,
        flat(
            "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'input': 800}]"
        ),
        "max_completion_tokens",
    ),
    "xAI, camel case": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Model grok-4 does not support parameter reasoningEffort.",
        },
        "reasoning_effort",
    ),
    "Ollama, thinking": (400, openai('"llama3.2" does not support thinking'), "reasoning_effort"),
    "Ollama, a level": (
        400,
        openai('invalid reasoning value: \'minimal\' (must be "high", "medium" or "low")'),
        "reasoning_effort",
    ),
    "Gemini, thinking": (
        400,
        google("Thinking level is not supported for this model."),
        "reasoning_effort",
    ),
    "Groq, effort": (
        400,
        openai("`reasoning_effort` must be one of `none` or `default`"),
        "reasoning_effort",
    ),
    "Kimi, temperature": (
        400,
        openai("invalid temperature: only 1 is allowed for this model"),
        "temperature",
    ),
    "Claude, temperature": (
        400,
        openai("`temperature` is deprecated for this model."),
        "temperature",
    ),
    "Claude, both": (
        400,
        openai("`temperature` and `top_p` cannot both be specified for this model."),
        "temperature",
    ),
    "Databricks": (
        400,
        {"error_code": "BAD_REQUEST", "message": "stream_options: Extra inputs are not permitted"},
        "stream_options",
    ),
    "Mistral": (
        422,
        flat({"detail": [extra("body", "stream_options")]}, "invalid_request_error", None),
        "stream_options",
    ),
    "FastAPI, inside": (
        422,
        {"detail": [extra("body", "stream_options", "include_obfuscation")]},
        "stream_options.include_obfuscation",
    ),
    "FastAPI, a value": (
        422,
        {
            "detail": [
                {"type": "literal_error", "loc": ["body", "service_tier"], "msg": "Input should be"}
            ]
        },
        "service_tier",
    ),
    "Groq, a property": (400, openai("property 'store' is unsupported"), "store"),
    "Gemini, unknown name": (
        400,
        google(
            'Invalid JSON payload received. Unknown name "prompt_cache_key": Cannot find field.'
        ),
        "prompt_cache_key",
    ),
    "Go": (400, {"error": 'json: unknown field "safety_identifier"'}, "safety_identifier"),
    "Python": (500, {"detail": "got an unexpected keyword argument 'top_p'"}, "top_p"),
    "JSON Schema": (
        400,
        openai("Additional properties are not allowed ('service_tier' was unexpected)"),
        "service_tier",
    ),
    "OpenAI, include": (
        400,
        openai("Unsupported parameter: 'include'", None, "include"),
        "include",
    ),
    "a limit over what the model writes": (
        400,
        openai("max_tokens: 50000 > 8192, which is the maximum allowed number of output tokens"),
        "max_tokens",
    ),
    "vLLM, the same": (
        400,
        flat(
            "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum "
            "context length is 8192 tokens and your request has 20 input tokens"
        ),
        "max_tokens",
    ),
    "Groq, the same": (
        400,
        openai("`max_tokens` must be less than or equal to `8192`, less than the `context_window`"),
        "max_tokens",
    ),
    "OpenRouter, wrapped": (
        400,
        openrouter({"message": "Unsupported parameter: 'reasoning_effort'"}),
        "reasoning_effort",
    ),
    # --------------------------------------------------------------------- tools
    "vLLM, no tools": (
        400,
        flat(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        ),
        "tools",
    ),
    "Ollama, no tools": (
        400,
        openai("registry.ollama.ai/library/gemma3:latest does not support tools"),
        "tools",
    ),
    "OpenRouter, no tools": (
        404,
        {"error": {"message": "No endpoints found that support tool use.", "code": 404}},
        "tools",
    ),
    "llama.cpp, no tools": (500, llama("tools param requires --jinja flag"), "tools"),
    "llama.cpp of before, no tools": (500, llama("Unsupported param: tools"), "tools"),
    "Groq, no tools": (400, openai("`tool calling` is not supported with this model"), "tools"),
    "OpenAI, no tools": (400, openai("tools is not supported in this model."), "tools"),
    "DeepInfra, no tools": (
        405,
        {"error": {"message": "Tool calling is not supported for model: a/b", "code": "405"}},
        "tools",
    ),
    "Novita, no tools": (
        400,
        openrouter({"code": 400, "message": "model features function calling not support"}),
        "tools",
    ),
    "Gemma by Google, no tools": (
        400,
        google("Function calling is not enabled for models/gemma-3-27b-it"),
        "tools",
    ),
    "Bedrock, no tools": (
        400,
        openai("This model doesn't support tool use in streaming mode."),
        "tools",
    ),
    "Mistral, no tools": (422, {"detail": [extra("body", "tools")]}, "tools"),
    "a gateway, no tools": (
        400,
        openai("No connected provider supports tool calling for this model."),
        "tools",
    ),
    # ------------------------------------------------------------------ one tool
    "OpenAI, a tool": (
        400,
        openai(
            "Invalid schema for function 'x'",
            "invalid_function_parameters",
            "tools[3].function.parameters",
        ),
        "tools[3]",
    ),
    "OpenAI, a tool by name": (
        400,
        openai(
            "Invalid schema for function 'get_weather': In context=(), array schema missing items."
        ),
        "tools.get_weather",
    ),
    "OpenAI, a name": (
        400,
        openai(
            "Invalid 'tools[12].function.name': string does not match pattern.", "invalid_value"
        ),
        "tools[12]",
    ),
    "Anthropic, a tool": (
        400,
        openai("tools.3.custom.input_schema: JSON schema is invalid."),
        "tools[3]",
    ),
    "Anthropic, another": (400, openai("tools.2.input_schema.type: Field required"), "tools[2]"),
    "vLLM, a tool": (
        400,
        {
            "detail": [
                {
                    "type": "missing",
                    "loc": ["body", "tools", 1, "function"],
                    "msg": "Field required",
                }
            ]
        },
        "tools[1]",
    ),
    "Gemini, a tool": (
        400,
        google("Unknown name \"const\" at 'tools[0].function_declarations[5].parameters'"),
        "tools[5]",
    ),
    "Vertex, a tool": (
        400,
        google("Unable to submit request because `list_files` functionDeclaration has no type"),
        "tools.list_files",
    ),
    "Bedrock, a tool": (
        400,
        openai("The value at toolConfig.tools.4.toolSpec.inputSchema.json.type must be object"),
        "tools[4]",
    ),
    "a local server, a tool": (
        400,
        {"error": "tool open_canvas schema at parameters.properties.input: type is required"},
        "tools.open_canvas",
    ),
    # --------------------------------------------------------- fields of messages
    "Groq, a message": (
        400,
        openai(
            "'messages.1' : for 'role:assistant' the following must be satisfied"
            "[('messages.1' : property 'reasoning_content' is unsupported)]"
        ),
        "messages.reasoning_content",
    ),
    "Cerebras, a message": (
        400,
        {
            "message": "messages.2.assistant.reasoning_content: property "
            "'messages.2.assistant.reasoning_content' is unsupported",
            "type": "invalid_request_error",
            "param": "validation_error",
            "code": "wrong_api_format",
        },
        "messages.reasoning_content",
    ),
    "Mistral, a message": (
        422,
        {"detail": [extra("body", "messages", 2, "assistant", "reasoning_content")]},
        "messages.reasoning_content",
    ),
    "vLLM, a message": (
        400,
        flat("1 error\nmessages.0.assistant.extra_content\n  Extra inputs are not permitted"),
        "messages.extra_content",
    ),
    "Groq, reasoning": (
        400,
        openai("messages[3].reasoning: reasoning is not supported with this model"),
        "messages.reasoning",
    ),
    # ------------------------------------------------------ something else is wanted
    "DeepSeek, thoughts": (
        400,
        openai("The `reasoning_content` in the thinking mode must be passed back to the API."),
        "messages.reasoning_content:missing",
    ),
    "DeepSeek, thoughts of before": (
        400,
        openai("Missing `reasoning_content` field in the assistant message at message index 1."),
        "messages.reasoning_content:missing",
    ),
    "Kimi, thoughts": (
        400,
        openai(
            "thinking is enabled but reasoning_content is missing in assistant tool call message"
        ),
        "messages.reasoning_content:missing",
    ),
    "DeepSeek by OpenRouter, thoughts": (
        400,
        openrouter(openai("The `reasoning_content` in the thinking mode must be passed back")),
        "messages.reasoning_content:missing",
    ),
    "Gemini, signature": (
        400,
        google("Function call is missing a thought_signature in functionCall parts."),
        "messages.thought_signature:missing",
    ),
    "OpenAI, effort and tools": (
        400,
        openai(
            "Function tools with reasoning_effort are not supported for gpt-6 in "
            "/v1/chat/completions. Please use /v1/responses instead.",
            None,
            "reasoning_effort",
        ),
        "reasoning_effort:none",
    ),
    "Gemma, system": (400, flat("System role not supported"), "messages.system"),
    "llama.cpp, system": (
        500,
        llama("Jinja Exception: Only user and assistant roles are supported!"),
        "messages.system",
    ),
    "Gemma by Google, system": (
        400,
        google("Developer instruction is not enabled for models/gemma-3-27b-it"),
        "messages.system",
    ),
    "OpenAI, system": (
        400,
        openai("Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        "messages.system",
    ),
}
