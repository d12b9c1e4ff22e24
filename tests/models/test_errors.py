"""What a provider's refusal means: by code, by words, by status. The bodies are such as the
providers send; docs/failures.md shows more of their sentences, which are tried here, too."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, get_args

import pytest

from realtime.models import ErrorKind
from realtime.models.errors import failure, from_payload, from_status
from realtime.models.errors.failure import MEANING


class Refusal(NamedTuple):
    status: int
    body: object
    kind: ErrorKind
    param: str | None = None


def openai(message: str, code: str | None = None, param: str | None = None, **more: Any) -> object:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **more}}


def flat(message: object, type: str = "BadRequestError", code: object = 400) -> object:
    """As vLLM and Mistral say it."""
    return {"object": "error", "message": message, "type": type, "param": None, "code": code}


def google(
    message: str, code: int = 400, status: str = "INVALID_ARGUMENT", *details: Any
) -> object:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return [{"error": error}]


def openrouter(raw: object, code: int = 400, name: str = "Novita") -> object:
    metadata = {"raw": json.dumps(raw), "provider_name": name}
    return {"error": {"message": "Provider returned error", "code": code, "metadata": metadata}}


def llama(message: str, code: int = 500, type: str = "server_error") -> object:
    return {"error": {"code": code, "message": message, "type": type}}


def extra(*place: str | int) -> dict[str, Any]:
    return {"type": "extra_forbidden", "loc": place, "msg": "Extra inputs are not permitted"}


KINDS: dict[str, Refusal] = {
    # ------------------------------------------------------------- out of credit
    "OpenAI, no quota": Refusal(
        429,
        {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota"}},
        "quota",
    ),
    "OpenAI, hard limit": Refusal(
        400, openai("Billing hard limit has been reached", "billing_hard_limit_reached"), "quota"
    ),
    "Anthropic, credit": Refusal(
        400,
        openai(
            "Your credit balance is too low to access the Anthropic API.", "invalid_request_error"
        ),
        "quota",
    ),
    "DeepSeek, balance": Refusal(402, openai("Insufficient Balance"), "quota"),
    "Kimi, balance": Refusal(
        429,
        openai("Your account org-1 is suspended due to insufficient balance, please recharge"),
        "quota",
    ),
    "xAI, credits": Refusal(
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Your team has either used all available credits or reached its monthly limit.",
        },
        "quota",
    ),
    "OpenRouter, credits": Refusal(
        402, {"error": {"message": "This request requires more credits", "code": 402}}, "quota"
    ),
    "DashScope, arrears": Refusal(
        400,
        {
            "code": "Arrearage",
            "message": "Access denied, make sure your account is in good standing.",
        },
        "quota",
    ),
    "GLM, balance": Refusal(
        429, {"error": {"code": "1113", "message": "余额不足或无可用资源包"}}, "quota"
    ),
    "LiteLLM, budget": Refusal(
        400,
        {
            "error": {
                "message": "Budget has been exceeded! Current cost: 1.2",
                "type": "budget_exceeded",
            }
        },
        "quota",
    ),
    "Gemini, the day": Refusal(
        429,
        google(
            "You exceeded your current quota, please check your plan and billing details.",
            429,
            "RESOURCE_EXHAUSTED",
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
        ),
        "quota",
    ),
    "Gemini, prepaid": Refusal(
        429,
        google("Your prepayment credits are depleted.", 429, "RESOURCE_EXHAUSTED"),
        "quota",
    ),
    "Hugging Face, the month": Refusal(
        402, {"error": "You have exceeded your monthly included credits"}, "quota"
    ),
    # ------------------------------------------------------------------- the key
    "OpenAI, key": Refusal(
        401, openai("Incorrect API key provided", "invalid_api_key"), "unauthorized"
    ),
    "xAI, key": Refusal(
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Incorrect API key provided: sk***YA. You can obtain one from the console.",
        },
        "unauthorized",
    ),
    "xAI, key, unwrapped by the client": Refusal(
        400, "Incorrect API key provided: sk***YA.", "unauthorized"
    ),
    "Gemini, key": Refusal(
        400,
        google(
            "API key not valid. Please pass a valid API key.",
            400,
            "INVALID_ARGUMENT",
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
        ),
        "unauthorized",
    ),
    "Gemini, expired": Refusal(
        400, google("API key expired. Please renew the API key."), "unauthorized"
    ),
    "Gemini, place": Refusal(
        400,
        google("User location is not supported for the API use.", 400, "FAILED_PRECONDITION"),
        "unauthorized",
    ),
    "Anthropic, key": Refusal(
        401,
        {
            "type": "error",
            "error": {"type": "authentication_error", "message": "invalid x-api-key"},
        },
        "unauthorized",
    ),
    "LiteLLM, key": Refusal(
        400,
        {
            "error": {
                "message": "Authentication Error, Invalid proxy server token passed",
                "code": "400",
            }
        },
        "unauthorized",
    ),
    "OpenAI, closed account": Refusal(
        400, openai("Your organization has been disabled."), "unauthorized"
    ),
    "a firewall": Refusal(403, "<html><h1>403 Forbidden</h1></html>", "unauthorized"),
    # ----------------------------------------------------------------- the model
    "OpenAI, model": Refusal(
        404,
        openai("The model `gpt-nope` does not exist or you do not have access", "model_not_found"),
        "not_found",
    ),
    "OpenRouter, model": Refusal(
        400, {"error": {"message": "foo/bar is not a valid model ID", "code": 400}}, "not_found"
    ),
    "OpenRouter, gone": Refusal(
        404, {"error": {"message": "No endpoints found for foo/bar.", "code": 404}}, "not_found"
    ),
    "DeepSeek, model": Refusal(
        400, openai("Model Not Exist", "invalid_request_error"), "not_found"
    ),
    "Ollama, model": Refusal(
        400,
        openai('model "llama9" not found, try pulling it first', type="api_error"),
        "not_found",
    ),
    "Groq, gone": Refusal(
        400,
        openai("The model `gemma` has been decommissioned", "model_decommissioned"),
        "not_found",
    ),
    "Mistral, model": Refusal(
        400, flat("Invalid model: foo", "invalid_model", "1500"), "not_found"
    ),
    "vLLM, model": Refusal(
        404, flat("The model `m` does not exist.", "NotFoundError", 404), "not_found"
    ),
    "LiteLLM, model": Refusal(
        400,
        openai("/chat/completions: Invalid model name passed in model=foo. Call `/v1/models`"),
        "not_found",
    ),
    "Bedrock, model": Refusal(
        400, openai("The provided model identifier is invalid."), "not_found"
    ),
    "Azure, deployment": Refusal(
        404,
        {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}},
        "not_found",
    ),
    "LM Studio, none": Refusal(
        400, {"error": "No models loaded. Please load a model."}, "not_found"
    ),
    "a wrong path": Refusal(404, "404 page not found", "not_found"),
    "a page that takes no POST": Refusal(405, "<h1>405 Not Allowed</h1>", "not_found"),
    # ------------------------------------------------------------------ too long
    "OpenAI, long": Refusal(
        400,
        openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
        "context_overflow",
    ),
    "OpenAI Responses, long": Refusal(
        400, openai("Your input exceeds the context window of this model."), "context_overflow"
    ),
    "Anthropic, long": Refusal(
        400, openai("prompt is too long: 209062 tokens > 199999 maximum"), "context_overflow"
    ),
    "Anthropic, with the answer": Refusal(
        400,
        openai("input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"),
        "context_overflow",
    ),
    "Gemini, long": Refusal(
        400,
        google("The input token count (1200293) exceeds the maximum number of tokens allowed."),
        "context_overflow",
    ),
    "xAI, long": Refusal(
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 537812.",
        },
        "context_overflow",
    ),
    "Bedrock by LiteLLM, long": Refusal(
        400,
        openai(
            "litellm.BadRequestError: BedrockException - Input is too long for requested model."
        ),
        "context_overflow",
    ),
    "TGI, long": Refusal(
        422,
        {
            "error": "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
            "error_type": "validation",
        },
        "context_overflow",
    ),
    "TGI, with the answer": Refusal(
        422,
        {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."},
        "context_overflow",
    ),
    "Together, with the answer": Refusal(
        422,
        openai("Input validation error: `inputs` tokens + `max_tokens` must be <= 8193."),
        "context_overflow",
    ),
    "vLLM, long": Refusal(
        400,
        flat(
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
        ),
        "context_overflow",
    ),
    "SGLang, long": Refusal(
        400,
        flat("The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
        "context_overflow",
    ),
    "Groq, the minute is too small": Refusal(
        413,
        {
            "error": {
                "message": "Request too large for model `x` on tokens per minute (TPM): Limit 6000",
                "type": "tokens",
                "code": "rate_limit_exceeded",
            }
        },
        "context_overflow",
    ),
    "OpenAI, the minute is too small": Refusal(
        429,
        openai(
            "Request too large for gpt-6 on tokens per min (TPM): Limit 30000",
            "rate_limit_exceeded",
        ),
        "context_overflow",
    ),
    "llama.cpp, long": Refusal(
        400,
        llama(
            "request (9000 tokens) exceeds the available context size (8192 tokens)",
            400,
            "exceed_context_size_error",
        ),
        "context_overflow",
    ),
    "llama.cpp of before, long": Refusal(
        500, llama("the request exceeds the available context size."), "context_overflow"
    ),
    "LM Studio, long": Refusal(
        400,
        {"error": "Trying to keep the first 15857 tokens when context the overflows."},
        "context_overflow",
    ),
    "Mistral, long": Refusal(
        400,
        flat("Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
        "context_overflow",
    ),
    "DashScope, long": Refusal(
        400, openai("Range of input length should be [1, 30720]"), "context_overflow"
    ),
    "GLM, long": Refusal(
        400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}, "context_overflow"
    ),
    "OpenRouter, long": Refusal(
        400,
        openrouter({"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}),
        "context_overflow",
    ),
    "nginx, large": Refusal(
        413, "<html><h1>413 Request Entity Too Large</h1></html>", "context_overflow"
    ),
    # ---------------------------------------------------------------- the filter
    "Azure, filter": Refusal(
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's "
                "content management policy.",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        "content_filter",
    ),
    "Azure by LiteLLM, filter": Refusal(
        400,
        {
            "error": {
                "message": "litellm.ContentPolicyViolationError: AzureException - The response was "
                "filtered due to the prompt triggering Azure OpenAI's content management policy.",
                "code": "400",
                "provider_specific_fields": {
                    "innererror": {"code": "ResponsibleAIPolicyViolation"}
                },
            }
        },
        "content_filter",
    ),
    "OpenAI, flagged": Refusal(
        400,
        openai(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            "invalid_prompt",
        ),
        "content_filter",
    ),
    "OpenAI, policy": Refusal(
        400, openai("Your request was rejected.", "content_policy_violation"), "content_filter"
    ),
    "Gemini, prohibited": Refusal(
        400, google("The prompt was blocked: PROHIBITED_CONTENT"), "content_filter"
    ),
    "DeepSeek, risk": Refusal(400, openai("Content Exists Risk"), "content_filter"),
    "Kimi, risk": Refusal(
        400,
        openai("The request was rejected because it was considered high risk", "content_filter"),
        "content_filter",
    ),
    "DashScope, inspection": Refusal(
        400,
        openai("Input data may contain inappropriate content.", "data_inspection_failed"),
        "content_filter",
    ),
    "GLM, sensitive": Refusal(
        400,
        {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含敏感内容"}},
        "content_filter",
    ),
    "xAI, safety": Refusal(
        403,
        {"code": "permission", "error": "Content violates usage guidelines. SAFETY_CHECK_TYPE_BIO"},
        "content_filter",
    ),
    "OpenRouter, moderation": Refusal(
        403,
        {
            "error": {
                "message": 'Model requires moderation on OpenAI. Your input was flagged for "violence"',
                "code": 403,
                "metadata": {"reasons": ["violence"], "flagged_input": "how to steal a car"},
            }
        },
        "content_filter",
    ),
    "Anthropic, output": Refusal(
        400, openai("Output blocked by content filtering policy"), "content_filter"
    ),
    # ------------------------------------------------------------------- passing
    "OpenAI, rate": Refusal(
        429,
        openai(
            "Rate limit reached on tokens per min (TPM): Limit 9, Used 8.", "rate_limit_exceeded"
        ),
        "rate_limited",
    ),
    "Gemini, the minute": Refusal(
        429,
        google(
            "You exceeded your current quota, please check your plan and billing details.",
            429,
            "RESOURCE_EXHAUSTED",
            {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
        ),
        "rate_limited",
    ),
    "Bedrock, throttled": Refusal(
        400, openai("Too many tokens, please wait before trying again."), "rate_limited"
    ),
    "OpenRouter, upstream": Refusal(
        429,
        openrouter("foo/bar:free is temporarily rate-limited upstream.", 429),
        "rate_limited",
    ),
    "Anthropic, overloaded": Refusal(
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "unavailable",
    ),
    "Kimi, overloaded": Refusal(
        429,
        openai("The engine is currently overloaded", type="engine_overloaded_error"),
        "unavailable",
    ),
    "an overloaded one that says 400": Refusal(
        400, openai("The model is overloaded. Please try again later."), "unavailable"
    ),
    "llama.cpp, loading": Refusal(
        503, llama("Loading model", 503, "unavailable_error"), "unavailable"
    ),
    "HTML": Refusal(502, "<html><title>502 Bad Gateway</title></html>", "unavailable"),
    "nothing": Refusal(500, None, "unavailable"),
    "bytes": Refusal(503, b"no healthy upstream", "unavailable"),
    "a proxy's sign-in": Refusal(407, "", "unavailable"),
    "slow": Refusal(408, None, "timeout"),
    # ---------------------------------------------------------- and what nobody knows
    "no more than 400": Refusal(
        400, google("Request contains an invalid argument."), "bad_request"
    ),
    "a prompt, not its policy": Refusal(
        400, openai("Invalid prompt.", "invalid_prompt"), "bad_request"
    ),
    "one that is made of lists": Refusal(400, [[[[]]]], "bad_request"),
    "a number": Refusal(400, 7, "bad_request"),
    "an endless nest": Refusal(400, json.loads("[" * 500 + "]" * 500), "bad_request"),
    "JSON in a text": Refusal(
        400,
        openai('Error from provider(x: 400): {"error": {"code": "insufficient_quota"}}'),
        "quota",
    ),
    "Python in a text": Refusal(
        400,
        openai("Error code: 400 - {'error': {'message': 'no', 'code': 'insufficient_quota'}}"),
        "quota",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_of_the_kind_that_the_provider_means(name: str) -> None:
    case = KINDS[name]
    error = from_status(case.status, {}, case.body)
    assert (error.kind, error.param) == (case.kind, case.param)
    assert error.message.startswith(MEANING[case.kind])


PARAMS: dict[str, tuple[int, object, str]] = {
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
        google(
            "Unknown name \"const\" at 'tools[0].function_declarations[5].parameters': Cannot find field."
        ),
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
        flat(
            "1 validation error\nmessages.0.assistant.extra_content\n  Extra inputs are not permitted"
        ),
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


@pytest.mark.parametrize("name", PARAMS)
def test_the_part_that_was_refused_is_told(name: str) -> None:
    status, body, param = PARAMS[name]
    error = from_status(status, {}, body)
    assert (error.kind, error.param) == ("bad_request", param)
    unwrapped = body.get("error", body) if isinstance(body, dict) else body
    assert from_status(status, {}, unwrapped).param == param, "the client unwraps the error"
    assert from_payload(body).param == param, "in a stream"


@pytest.mark.parametrize(
    "message",
    [
        "Please include a valid message and store it.",
        "messages: text content blocks must be non-empty",
        "Expected last role User or Tool for serving but got assistant",
        "Request contains an invalid argument.",
        "The tool call id must be a-z, A-Z, 0-9, with a length of 9.",
        "An assistant message with 'tool_calls' must be followed by tool messages",
    ],
)
def test_no_field_is_blamed_for_what_is_not_about_it(message: str) -> None:
    error = from_status(400, {}, openai(message))
    assert (error.kind, error.param) == ("bad_request", None)


@pytest.mark.parametrize("status", [401, 402, 403, 429])
def test_no_field_is_blamed_for_the_account(status: int) -> None:
    assert from_status(status, {}, openai("not supported", None, "temperature")).param is None


def test_a_stream_says_what_a_status_would() -> None:
    assert from_payload({"error": {"code": 429, "message": "slow"}}).kind == "rate_limited"
    assert from_payload({"error": {"code": 400, "message": "no"}}).kind == "bad_request"
    assert from_payload([{"error": {"message": "prompt is too long"}}]).kind == "context_overflow"
    assert from_payload("Internal error").kind == "unavailable"


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({}, "Please try again in 7.5s. See the limits.", 7.5),
        ({}, "Please try again in 2m30s.", 150),
        ({}, "Please retry in 120ms", 0.12),
        ({"retry-after": "3"}, "Please try again in 7.5s.", 3),
        ({}, "Please try again.", None),
    ],
)
def test_the_wait_is_read_from_the_words_where_no_header_says_it(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    error = from_status(429, headers, openai(message))
    assert error.retry_after_s == seconds


def test_google_says_the_wait_in_a_field() -> None:
    assert from_status(429, {}, KINDS["Gemini, the minute"].body).retry_after_s == 37


def test_the_code_that_tells_most_is_shown() -> None:
    assert from_status(400, {}, KINDS["Gemini, key"].body).code == "API_KEY_INVALID"
    assert from_status(400, {}, openai("no", "unsupported_value")).code == "unsupported_value"
    assert from_status(400, {}, KINDS["xAI, key"].body).code is None


def test_every_kind_has_words() -> None:
    assert set(MEANING) == set(get_args(ErrorKind))
    for kind in MEANING:
        assert failure(kind).detail == ""
