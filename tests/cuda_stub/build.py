"""Build stand-ins for the CUDA libraries that ONNX Runtime's CUDA provider links, with gcc, in seconds.

The provider's own list of undefined symbols says what there must be: libcudart is written by hand, of cuBLAS
and cuDNN every function exists, is logged where it launches a kernel, and answers that all is well.
"""

import importlib.util
import re
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("cudart.c")
CUDA_MAJOR = 13  # whose cudaDeviceProp the stand-in knows
FLAGS = ("-shared", "-fPIC", "-O1", "-w")

_HEAD = "#include <stdlib.h>\n#include <string.h>\nextern void stub_launch(const char *);\n"
# Functions that give something back; every other one answers 0.
_ANSWERS = {
    r"cublasGetMathMode": "int {name}(void *h, int *mode) {{ *mode = 0; return 0; }}",
    r"cublasGetStatus(Name|String)|cudnnGetErrorString": 'const char *{name}(int code) {{ return "stub"; }}',
    r"cudnnGetVersion": "size_t {name}() {{ return 91200; }}",
    r"cudnnGetReduction(Indices|Workspace)Size": (
        "int {name}(void *h, void *a, void *b, void *c, size_t *s) {{ *s = 0; return 0; }}"
    ),
    r"cublasLtMatmulAlgoGetHeuristic": (
        "int {name}(void *l, void *o, void *A, void *B, void *C, void *D, void *p, int k, void *r, int *n)"
        "{{ memset(r, 0, 96); *n = 1; return 0; }}"
    ),
    r"cublasCreate_v2|cublas.*Create$|cudnnCreate\w*": (
        "int {name}(void **handle) {{ *handle = calloc(1, 512); return 0; }}"
    ),
}
_LAUNCHES = (
    r"[gG]emm|LtMatmul$|geam|copy|scal|MatrixTransform$|"
    r"cudnn\w*(Forward|AddTensor|ReduceTensor|BackendExecute)"
)


def provider() -> Path:
    """The CUDA provider of the installed ONNX Runtime; it need not be there."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "capi" / "libonnxruntime_providers_cuda.so"


def build(out: Path) -> None:
    """Write the libraries into a folder, and libcudnn into its folder dnn."""
    (out / "dnn").mkdir(parents=True)
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", provider()], check=True, capture_output=True, text=True
    ).stdout
    undefined = [line.split()[-1] for line in listing.splitlines()]
    _compile(out, "libcudart.so.13", SOURCE.read_text(), versioned=True)
    for library in ("cublas", "cublasLt"):
        names = [s.split("@")[0] for s in undefined if s.endswith(f"@lib{library}.so.13")]
        _compile(out, f"lib{library}.so.13", _source(names), versioned=True)
    _compile(out, "libcurand.so.10", "int curandCreateGenerator() { return 0; }")
    _compile(out, "libcuda.so.1", "int cuTensorMapEncodeTiled() { return 0; } int cuInit() { return 0; }")
    # cuDNN is opened by name, and each function looked up in it, so the provider's strings tell them.
    strings = re.findall(rb"\0(cudnn[A-Z]\w+)(?=\0)", provider().read_bytes())
    names = sorted({name.decode() for name in strings})
    _compile(out / "dnn", "libcudnn.so.9", _source(names))
    (out / "dnn" / "libcudnn.so").symlink_to("libcudnn.so.9")


def _source(names: list[str]) -> str:
    return _HEAD + "\n".join(_function(name) for name in names)


def _function(name: str) -> str:
    for pattern, template in _ANSWERS.items():
        if re.fullmatch(pattern, name):
            return template.format(name=name)
    says = f'stub_launch("{name}"); ' if re.search(_LAUNCHES, name) else ""
    return f"int {name}() {{ {says}return 0; }}"


def _compile(folder: Path, library: str, source: str, *, versioned: bool = False) -> None:
    code = folder / f"{library}.c"
    code.write_text(source)
    linked: list[str] = [f"-Wl,-soname,{library}"]
    if versioned:
        version = folder / f"{library}.map"
        version.write_text(f"{library} {{ global: *; }};\n")
        linked.append(f"-Wl,--version-script={version}")
    if "stub_launch" in source and "libcudart" not in library:
        root = folder.parent if folder.name == "dnn" else folder
        linked += [f"-L{root}", "-l:libcudart.so.13"]
    if "libcudart" in library:
        linked.append("-lpthread")
    subprocess.run(["gcc", *FLAGS, code, "-o", folder / library, *linked], check=True)
