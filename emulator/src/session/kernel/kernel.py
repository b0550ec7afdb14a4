"""A Python kernel: runs the cells that it is sent, in one namespace, as a Jupyter kernel does.

Descriptor 3 is a socket on which each message is a line of JSON. In: {"code": text, "milliseconds": limit} and {"interrupt": true}. Out: {"ready":
version} once, then for each cell {"ok": bool, "result": bundle or null}, where a bundle is a result by MIME type. What a
cell prints goes to the descriptors 1 and 2, tracebacks included.
"""
import ast
import asyncio
import base64
import builtins
import inspect
import io
import json
import linecache
import os
import pprint
import queue
import signal
import sys
import threading
import traceback
import types

channel = open(3, "r+b", buffering=0)
os.set_inheritable(3, False)
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("PYTHONUNBUFFERED", "1")
# What code printed before it hung or died is not lost.
sys.stdout.reconfigure(line_buffering=True)
sys.argv = [""]
sys.path.insert(0, "")

cells = queue.Queue()
running = False
images = []
count = 0

# What the images of the service have and most machines lack; only a note depends on it.
OF_THE_IMAGE = {
    "IPython", "PIL", "bs4", "cv2", "matplotlib", "networkx", "nltk", "numpy", "openpyxl", "pandas", "plotly",
    "requests", "scipy", "seaborn", "sklearn", "statsmodels", "sympy", "tensorflow", "torch",
}


def send(message):
    text = json.dumps(message).encode() + b"\n"
    view = memoryview(text)
    while view:
        view = view[channel.write(view):]


def interrupted(_signal, _frame):
    # An interrupt that comes too late must not end the kernel itself.
    if running:
        raise KeyboardInterrupt


def read():
    with open(3, "rb", closefd=False) as lines:
        for line in lines:
            message = json.loads(line)
            if message.get("interrupt"):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            else:
                cells.put(message["code"])
    # The emulator is gone, or has done with this kernel.
    os._exit(0)


def clean(text):
    """Without halves of surrogate pairs, which JSON in Rust refuses."""
    return text.encode("utf-8", "replace").decode()


def bundle(value):
    """A value by MIME type: its text, and the other forms it has methods for, as Jupyter knows them."""
    plain = type(value) in (list, dict, tuple, set, frozenset)
    shown = {"text/plain": clean(pprint.pformat(value, width=79, sort_dicts=False) if plain else repr(value))}
    for method, kind in (("_repr_png_", "image/png"), ("_repr_jpeg_", "image/jpeg"), ("_repr_html_", "text/html")):
        if isinstance(value, type) or not callable(getattr(value, method, None)):
            continue
        form = getattr(value, method)()
        if isinstance(form, tuple):
            form = form[0]
        if isinstance(form, bytes):
            form = base64.b64encode(form).decode()
        if isinstance(form, str):
            shown[kind] = clean(form)
    return shown


def display(*values):
    """IPython's `display`: text to standard output; the last image is the result of the cell."""
    for value in values:
        shown = bundle(value)
        if any(kind.startswith("image/") for kind in shown):
            images.append(shown)
        else:
            print(shown["text/plain"])


def figures():
    """Takes the open figures of matplotlib, if a cell uses it, as images."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        figure, picture = pyplot.figure(number), io.BytesIO()
        figure.savefig(picture, format="png", bbox_inches="tight")
        encoded = base64.b64encode(picture.getvalue()).decode()
        images.append({"text/plain": repr(figure), "image/png": encoded})
    pyplot.close("all")


def evaluate(tree, mode, name):
    code = compile(tree, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    value = eval(code, main.__dict__)
    if code.co_flags & inspect.CO_COROUTINE:
        value = loop.run_until_complete(value)
    return value


def run(text, name):
    """Runs a cell and returns the value of its last expression, which a semicolon hides."""
    tree = compile(text, name, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not text.rstrip().endswith(";"):
        last = ast.Expression(tree.body.pop().value)
    evaluate(tree, "exec", name)
    return None if last is None else evaluate(last, "eval", name)


def explain(error, text):
    """Prints the traceback, without the kernel's own frames, and says where the machine is the reason."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals is globals():
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in OF_THE_IMAGE:
        lines.append(
            f"The emulator runs code with this machine's {sys.executable} {sys.version.split()[0]}, which has no "
            f"{error.name.split('.')[0]}. The image of PythonLTS pools has it.\n"
        )
    if isinstance(error, SyntaxError) and any(line.lstrip()[:1] in ("!", "%") for line in text.splitlines()):
        lines.append("The emulator's kernel has no IPython, whose commands begin with ! and %.\n")
    sys.stderr.write(clean("".join(lines)))


def cell(text):
    global running, count
    count += 1
    name = f"<cell {count}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    images.clear()
    answer = {"ok": True, "result": None}
    try:
        running = True
        value = run(text, name)
        figures()
        if value is not None:
            main.__dict__["_"] = value
            answer["result"] = bundle(value)
        if images:
            answer["result"] = images[-1]
    except BaseException as error:
        running = False
        answer = {"ok": False, "result": None}
        explain(error, text)
    running = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    return answer


main = types.ModuleType("__main__")
main.__dict__["display"] = display
main.__dict__["__builtins__"] = builtins
sys.modules["__main__"] = main
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
signal.signal(signal.SIGINT, interrupted)
threading.Thread(target=read, daemon=True).start()
send({"ready": sys.version.split()[0]})
while True:
    send(cell(cells.get()))
