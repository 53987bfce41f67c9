"""What of the library's API tests is run here, and what is not because no such thing exists here."""

# Below tests/api_resources, by name.
RESOURCES = {
    "chat completions": "chat/test_completions.py",
    "completions": "test_completions.py",
    "embeddings": "test_embeddings.py",
    "models": "test_models.py",
    "responses": "test_responses.py",
    "responses, input items": "responses/test_input_items.py",
    "responses, input tokens": "responses/test_input_tokens.py",
    "images": "test_images.py",
    "transcriptions": "audio/test_transcriptions.py",
    "translations": "audio/test_translations.py",
    "moderations": "test_moderations.py",
    "files": "test_files.py",
    "batches": "test_batches.py",
}

# Parts of these that do not exist here: {what: (file, test names)}.
ABSENT = {
    "stored chat completions": (RESOURCES["chat completions"], ("_retrieve", "_update", "_list", "_delete")),
    "deletion of fine-tuned models": (RESOURCES["models"], ("_delete",)),
}

# The ids that the tests name, of responses that are there before each of them.
STORED_RESPONSES = ("resp_677efb5139a88190b512bc3fef8e535d", "response_id", "resp_123")

# {what the tests name as model: the operations that its deployment offers}. Where a test leaves the model out, it means
# the only deployment that offers the operation.
DEPLOYMENTS = {
    "gpt-6-astra": ("chat", "responses"),
    "gpt-3.5-turbo-instruct": ("completions",),
    "text-embedding-3-small": ("embeddings",),
    "gpt-image-2.5-flare": ("images",),
    "gpt-image-1.5": ("image_edits", "image_variations"),
    "tts-1": ("speech",),
    "gpt-4o-transcribe": ("transcriptions",),
    "whisper-1": ("translations",),
    "omni-moderation-2024-09-26": ("moderations",),
    "model": ("chat",),
}
KEY = "My API Key"
