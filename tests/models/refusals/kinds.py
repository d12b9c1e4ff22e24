"""Refusals, and the kind of failure that they are."""

from __future__ import annotations

import json
from typing import NamedTuple

from realtime.models import ErrorKind
from tests.models.refusals.bodies import flat, google, llama, openai, openrouter


class Refusal(NamedTuple):
    status: int
    body: object
    kind: ErrorKind


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
            "error": "Your team has either used all available credits or reached its limit.",
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
            "error": "This model's maximum prompt length is 131072 but this has 537812.",
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
            "error": "Input validation error: `inputs` must have less than 4095 tokens.",
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
                "message": 'It needs moderation on OpenAI. Your input was flagged for "violence"',
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
