"""What clients ask first, and the status document."""

from daemon.http.schemas_status import Status
from policies.view import Phase


def get(serving, path, **script):
    async def test(server):
        return await server.api.get(path)

    return serving(test, **script)


def test_health_is_ok_whatever_models_do(serving, snapshot_of_model):
    assert get(serving, "/health").json() == {"status": "ok", "ready": True, "loading": 0}
    loading = (snapshot_of_model(phase=Phase.LOADING),)
    answer = get(serving, "/health", models=loading)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert get(serving, "/health", models=()).status_code == 200


def test_models_are_llama_cpps(serving, snapshot_of_model):
    (entry,) = get(serving, "/v1/models").json()["data"]
    assert (entry["id"], entry["owned_by"]) == ("tiny", "llamacpp")
    assert (entry["meta"]["n_ctx"], entry["meta"]["n_params"], entry["meta"]["size"]) == (
        2048,
        5,
        7,
    )
    assert entry["status"] == {"value": "loaded"}
    absent = (snapshot_of_model(phase=Phase.ABSENT),)
    (entry,) = get(serving, "/v1/models", models=absent).json()["data"]
    assert (entry["meta"], entry["status"]) == ({}, {"value": "unloaded"})


def test_props(serving):
    answer = get(serving, "/props?model=tiny&autoload=false").json()
    assert answer["default_generation_settings"]["n_ctx"] == 2048
    assert answer["total_slots"] == 4
    assert answer["model_path"] == "tiny.gguf"
    assert get(serving, "/props").json() == answer
    assert get(serving, "/props?model=none").status_code == 404


def test_status_is_one_document_without_paths_or_text(serving):
    answer = get(serving, "/status")
    status = Status.model_validate_json(answer.content)
    assert status.schema_version == 1
    assert status.models[0].file == "tiny.gguf"
    assert status.models[0].load_ms == 500
    assert status.queued["foreground"] == 2
    assert status.queued["interactive"] == 0
    assert status.latency["interactive"].e2e_p95_ms == 5
    assert status.ended["done"] == 9
    assert status.notices == ("a notice",)
    assert "private/" not in answer.text
