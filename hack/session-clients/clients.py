"""What the clients of dynamic sessions do with a pool, as their documentation shows it. Run by `run`."""

import asyncio
import io
import json
import sys
import tempfile
import traceback
from pathlib import Path

import requests
from azure.identity import ClientSecretCredential

READY = json.loads(Path(sys.argv[1]).read_text())
CREDENTIAL = ClientSecretCredential(
    READY["tenantId"],
    READY["clientId"],
    READY["clientSecret"],
    authority=READY["authority"],
    disable_instance_discovery=True,
)
GROUP = f"/subscriptions/{READY['subscriptionId']}/resourceGroups/clients"


def token(scope="https://dynamicsessions.io/.default"):
    return CREDENTIAL.get_token(scope).token


def arm(method, resource, version, body=None):
    url = f"{READY['arm']}{resource}?api-version={version}"
    headers = {"authorization": f"Bearer {token('https://management.azure.com/.default')}"}
    answer = requests.request(method, url, json=body, headers=headers)
    answer.raise_for_status()
    return answer.json()


def pool(name, container_type):
    properties = {
        "poolManagementType": "Dynamic",
        "containerType": container_type,
        "scaleConfiguration": {"maxConcurrentSessions": 50},
        "dynamicPoolConfiguration": {
            "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}
        },
        "sessionNetworkConfiguration": {"status": "EgressDisabled"},
        "mcpServerSettings": {"isMcpServerEnabled": True},
    }
    body = {"location": "westeurope", "properties": properties}
    return arm("PUT", f"{GROUP}/providers/Microsoft.App/sessionPools/{name}", "2025-10-02-preview", body)


def endpoint(one):
    return one["properties"]["poolManagementEndpoint"]


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def langchain_python():
    from langchain_azure_dynamic_sessions import SessionsPythonREPLTool

    tool = SessionsPythonREPLTool(pool_management_endpoint=endpoint(PYTHON), access_token_provider=token)
    same(json.loads(tool.run("print('hello world')\n1 + 1")), {"result": 2, "stdout": "hello world\n", "stderr": ""})
    same(tool.invoke("6 * 7"), '{\n  "result": 42,\n  "stdout": "",\n  "stderr": ""\n}')
    tool.run("```python\nkept = 'between calls'\n```")
    same(tool.execute("kept")["result"], "'between calls'")

    failed = tool.execute("1 / 0")
    same(failed["status"], "Failure")
    assert "ZeroDivisionError: division by zero" in failed["stderr"], failed

    picture = "class P:\n    def _repr_png_(self): return b'png'\nP()"
    same(json.loads(tool.run(picture))["result"], {"type": "image", "format": "png"})
    same(tool.execute(picture)["result"]["base64_data"], "cG5n")

    for name, content in [("a b.txt", b"text"), ("empty", b""), ("\u00e9t\u00e9.bin", bytes(range(256)) * 4096)]:
        metadata = tool.upload_file(data=io.BytesIO(content), remote_file_path=name)
        same((metadata.filename, metadata.size_in_bytes), (name, len(content)))
        same(metadata.full_path, f"/mnt/data/{name}")
        same(tool.download_file(remote_file_path=name).read(), content)
        same(tool.execute(f"len(open({metadata.full_path!r}, 'rb').read())")["result"], len(content))
    same({file.filename for file in tool.list_files()}, {"a b.txt", "empty", "\u00e9t\u00e9.bin"})
    tool.close()


def langchain_bash():
    from langchain_azure_dynamic_sessions import SessionsBashTool

    tool = SessionsBashTool(pool_management_endpoint=endpoint(SHELL), access_token_provider=token)
    ran = json.loads(tool.run("echo out; echo err >&2; exit 3"))
    same(ran, {"stdout": "out\n", "stderr": "err\n", "exitCode": 3})
    tool.upload_file(data=io.BytesIO(b"text"), remote_file_path="a.txt")
    same(tool.download_file(remote_file_path="a.txt").read(), b"text")
    same([file.filename for file in tool.list_files()], ["a.txt"])
    tool.close()


async def semantic_kernel():
    from semantic_kernel.core_plugins import SessionsPythonTool

    with tempfile.TemporaryDirectory() as directory:
        tool = SessionsPythonTool(
            pool_management_endpoint=endpoint(PYTHON),
            # It asks for the audience of its own time.
            auth_callback=lambda: token("https://acasessions.io/.default"),
            enable_dangerous_file_uploads=True,
            allowed_upload_directories=[directory],
        )
        # Before any code: from then on it sends uploads as application/json.
        local = Path(directory, "local.txt")
        local.write_text("text")
        uploaded = await tool.upload_file(local_file_path=str(local))
        same((uploaded.full_path, uploaded.size_in_bytes), ("/mnt/data/local.txt", 4))
        same([file.filename for file in await tool.list_files()], ["local.txt"])
        same((await tool.download_file(remote_file_name="local.txt")).read(), b"text")
        said = await tool.execute_code("print('hi')\n6 * 7")
        same(said, "Status:\nSuccess\nResult:\n42\nStdout:\nhi\n\nStderr:\n")
        assert "NameError" in await tool.execute_code("missing")
        assert "'text'" in await tool.execute_code("open('/mnt/data/local.txt').read()")


async def autogen():
    from autogen_core import CancellationToken
    from autogen_core.code_executor import CodeBlock
    from autogen_ext.code_executors.azure import ACADynamicSessionsCodeExecutor

    with tempfile.TemporaryDirectory() as directory:
        executor = ACADynamicSessionsCodeExecutor(
            pool_management_endpoint=endpoint(PYTHON), credential=CREDENTIAL, work_dir=directory
        )
        await executor.start()

        async def run(*codes):
            blocks = [CodeBlock(code=code, language="python") for code in codes]
            return await executor.execute_code_blocks(blocks, CancellationToken())

        ran = await run("import os; print(os.getcwd())", "x = 6", "x * 7")
        same((ran.exit_code, ran.output), (0, "/mnt/data\n42"))
        failed = await run("print('before')", "1 / 0")
        assert failed.exit_code == 1 and "ZeroDivisionError" in failed.output, failed
        Path(directory, "a.txt").write_text("text")
        await executor.upload_files(["a.txt"], CancellationToken())
        same(await executor.get_file_list(CancellationToken()), ["a.txt"])
        same((await run("open('b.txt', 'w').write(open('a.txt').read() * 2)")).exit_code, 0)
        await executor.download_files(["b.txt"], CancellationToken())
        same(Path(directory, "b.txt").read_text(), "texttext")
        await executor.restart()
        same((await run("'x' in globals()")).output, "False")
        await executor.stop()


async def mcp_sdk():
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    for one, launch, tool, argument, text in [
        (SHELL, "launchShell", "runShellCommandInRemoteEnvironment", "shellCommand", "echo $((6 * 7))"),
        (PYTHON, "launchPythonEnvironment", "runPythonCodeInRemoteEnvironment", "pythonCode", "print(6 * 7)"),
    ]:
        key = arm("POST", f"{one['id']}/fetchMcpServerCredentials", "2025-10-02-preview")["apiKey"]
        url = one["properties"]["mcpServerSettings"]["mcpServerEndpoint"]
        async with streamablehttp_client(url, headers={"x-ms-apikey": key}) as (read, write, _):
            async with ClientSession(read, write) as session:
                introduced = await session.initialize()
                same(introduced.serverInfo.name, "Microsoft Container Apps MCP Server")
                names = {one.name for one in (await session.list_tools()).tools}
                assert {launch, tool} <= names, names
                launched = await session.call_tool(launch, {})
                environment = launched.structuredContent["environmentId"]
                ran = await session.call_tool(tool, {"environmentId": environment, argument: text})
                same((ran.isError, ran.structuredContent["stdout"]), (False, "42\n"))


arm("PUT", GROUP, "2024-11-01", {"location": "westeurope"})
PYTHON, SHELL = pool("python", "PythonLTS"), pool("shell", "Shell")
failures = 0
for client in (langchain_python, langchain_bash, semantic_kernel, autogen, mcp_sdk):
    try:
        result = client()
        if asyncio.iscoroutine(result):
            asyncio.run(result)
        print(f"ok      {client.__name__}", flush=True)
    except Exception:
        failures += 1
        print(f"FAILED  {client.__name__}\n{traceback.format_exc(limit=-4)}", flush=True)
sys.exit(1 if failures else 0)
