/* A stand-in for libcudart: host memory as the card's, real copies, kernel launches that are logged and do nothing.
 *
 * ONNX Runtime's CUDA provider runs over it on a machine without a GPU. Everything that is decided on the host is the
 * provider's own behaviour; numbers, faults inside kernels and times are not to be had. The log, one line an event, goes
 * to the file in STUB_LOG. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OUT_OF_MEMORY = 2, NO_DEVICE = 100, ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900 };

/* ---- the log ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int capturing;

static void say(const char *format, ...) {
  static FILE *file;
  static int opened;
  pthread_mutex_lock(&lock);
  if (!opened) {
    const char *name = getenv("STUB_LOG");
    file = name ? fopen(name, "a") : NULL;
    opened = 1;
  }
  if (file) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fputs(capturing ? " captured\n" : "\n", file);
    fflush(file);
  }
  pthread_mutex_unlock(&lock);
}
void stub_note(const char *text) { say("NOTE %s", text); }
void stub_launch(const char *name) { say("LAUNCH %s", name); }

/* ---- what a test can make go wrong ---- */

static size_t taken, limit = (size_t)78 << 30;
static int lost, cards = 1;
static long launches_left = -1; /* after so many launches the card is lost; -1: never */
void stub_memory(size_t bytes) { limit = bytes; }
void stub_lose_device(void) { lost = ILLEGAL_ADDRESS; }
void stub_no_device(void) { cards = 0; }
__attribute__((constructor)) static void from_environment(void) {
  const char *memory = getenv("STUB_MEMORY"), *count = getenv("STUB_CARDS"), *most = getenv("STUB_LAUNCHES");
  if (memory) limit = strtoull(memory, NULL, 10);
  if (count) cards = atoi(count);
  if (most) launches_left = atol(most);
}

/* ---- memory: every block begins with its size ---- */

enum { HEAD = 512 };
static int take(void **pointer, size_t bytes, const char *how) {
  if (lost) return lost;
  pthread_mutex_lock(&lock);
  int full = taken + bytes > limit;
  if (!full) taken += bytes;
  pthread_mutex_unlock(&lock);
  say("%s %zu", full ? "FULL" : how, bytes);
  if (full) return OUT_OF_MEMORY;
  /* Zeroed, and without a page of its own until somebody writes to it. */
  char *block = mmap(NULL, bytes + HEAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) return OUT_OF_MEMORY;
  *(size_t *)block = bytes;
  *pointer = block + HEAD;
  return 0;
}
static int give(void *pointer) {
  if (!pointer) return 0;
  char *block = (char *)pointer - HEAD;
  pthread_mutex_lock(&lock);
  taken -= *(size_t *)block;
  pthread_mutex_unlock(&lock);
  munmap(block, *(size_t *)block + HEAD);
  return 0;
}
int cudaMalloc(void **p, size_t n) { return take(p, n, "MALLOC"); }
int cudaMallocFromPoolAsync(void **p, size_t n, void *pool, void *stream) { return take(p, n, "MALLOC"); }
int cudaFree(void *p) { return give(p); }
int cudaFreeAsync(void *p, void *stream) { return give(p); }
int cudaMallocHost(void **p, size_t n) { *p = calloc(1, n ? n : 1); return 0; }
int cudaHostAlloc(void **p, size_t n, unsigned flags) { return cudaMallocHost(p, n); }
int cudaFreeHost(void *p) { free(p); return 0; }
int cudaMemGetInfo(size_t *free_bytes, size_t *all) {
  *all = limit;
  *free_bytes = limit > taken ? limit - taken : 0;
  return lost;
}
int cudaPointerGetAttributes(void *attributes, const void *p) {
  memset(attributes, 0, 64);
  *(int *)attributes = 2;
  return 0;
}

/* ---- copies ---- */

static const char *kinds[] = {"H2H", "H2D", "D2H", "D2D", "DEFAULT"};
int cudaMemcpy(void *to, const void *from, size_t n, int kind) {
  say("COPY %s %zu sync", kinds[kind], n);
  if (!lost) memmove(to, from, n);
  return lost;
}
int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, void *stream) {
  say("COPY %s %zu", kinds[kind], n);
  if (!lost) memmove(to, from, n);
  return lost;
}
int cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                      int kind, void *stream) {
  say("COPY %s %zu", kinds[kind], width * height);
  for (size_t i = 0; i < height; i++) memmove((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width);
  return lost;
}
struct pitched { char *pointer; size_t pitch, width, height; };
struct box {
  void *from_array; size_t from_position[3]; struct pitched from;
  void *to_array; size_t to_position[3]; struct pitched to;
  size_t width, height, depth; int kind;
};
int cudaMemcpy3DAsync(const struct box *b, void *stream) {
  say("COPY %s %zu box", kinds[b->kind], b->width * b->height * b->depth);
  for (size_t z = 0; z < b->depth; z++)
    for (size_t y = 0; y < b->height; y++)
      memmove(b->to.pointer + (z * b->to.height + y) * b->to.pitch,
              b->from.pointer + (z * b->from.height + y) * b->from.pitch, b->width);
  return lost;
}
int cudaMemcpyFromSymbol(void *to, const void *symbol, size_t n, size_t offset, int kind) { memset(to, 0, n); return 0; }
int cudaMemset(void *p, int value, size_t n) { say("MEMSET %zu", n); memset(p, value, n); return lost; }
int cudaMemsetAsync(void *p, int value, size_t n, void *stream) { return cudaMemset(p, value, n); }

/* ---- kernels, by the names that the provider registers ---- */

enum { NAMES = 65536 };
static struct { const void *function; const char *name; } names[NAMES];
static void name_it(const void *function, const char *name) {
  size_t i = ((uintptr_t)function >> 4) % NAMES;
  while (names[i].function && names[i].function != function) i = (i + 1) % NAMES;
  names[i].function = function;
  names[i].name = name;
}
static const char *name_of(const void *function) {
  size_t i = ((uintptr_t)function >> 4) % NAMES;
  for (int tried = 0; names[i].function && tried < NAMES; tried++, i = (i + 1) % NAMES)
    if (names[i].function == function) return names[i].name;
  return "unknown";
}
typedef struct { unsigned x, y, z; } dim3_;
static int launch(const void *function) {
  say("LAUNCH %s", name_of(function));
  if (launches_left > 0 && --launches_left == 0) lost = ILLEGAL_ADDRESS;
  return lost;
}
void **__cudaRegisterFatBinary(void *p) { static void *handle[1]; return handle; }
void __cudaRegisterFatBinaryEnd(void **p) {}
void __cudaUnregisterFatBinary(void **p) {}
void __cudaRegisterFunction(void **h, const char *host, char *device, const char *name, int limit_, void *a, void *b,
                            void *c, void *d, int *w) { name_it(host, name); }
void __cudaRegisterVar(void **h, char *host, char *device, const char *name, int e, size_t s, int c, int g) {}
static __thread struct { dim3_ grid, block; size_t shared; void *stream; } calls[16];
static __thread int depth_;
unsigned __cudaPushCallConfiguration(dim3_ grid, dim3_ block, size_t shared, void *stream) {
  calls[depth_].grid = grid; calls[depth_].block = block; calls[depth_].shared = shared; calls[depth_].stream = stream;
  depth_++;
  return 0;
}
int __cudaPopCallConfiguration(dim3_ *grid, dim3_ *block, size_t *shared, void *stream) {
  depth_--;
  *grid = calls[depth_].grid; *block = calls[depth_].block; *shared = calls[depth_].shared;
  *(void **)stream = calls[depth_].stream;
  return 0;
}
int __cudaGetKernel(void **kernel, const void *function) { *kernel = (void *)function; return 0; }
int __cudaLaunchKernel(const void *f, dim3_ g, dim3_ b, void **a, size_t s, void *stream) { return launch(f); }
int cudaLaunchKernel(const void *f, dim3_ g, dim3_ b, void **a, size_t s, void *stream) { return launch(f); }
int cudaLaunchCooperativeKernel(const void *f, dim3_ g, dim3_ b, void **a, size_t s, void *stream) { return launch(f); }
int cudaLaunchKernelExC(void *configuration, const void *f, void **a) { return launch(f); }
int cudaLibraryLoadData(void **library) { static char it; *library = &it; return 0; }
int cudaLibraryUnload(void *library) { return 0; }
int cudaLibraryGetKernel(void **kernel, void *library, const char *name) {
  *kernel = strdup(name);
  name_it(*kernel, *kernel);
  return 0;
}
int cudaKernelSetAttributeForDevice() { return 0; }
int cudaFuncSetAttribute() { return 0; }
int cudaFuncGetAttributes(void *attributes, const void *f) {
  memset(attributes, 0, 128);
  int *fields = (int *)((size_t *)attributes + 3); /* maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion */
  fields[0] = 1024; fields[1] = 64; fields[2] = fields[3] = 90;
  return 0;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *count) { *count = 2; return 0; }
int cudaLaunchHostFunc(void *stream, void (*f)(void *), void *data) { f(data); return 0; }

/* ---- streams, events, graphs ---- */

int cudaStreamCreate(void **stream) { *stream = malloc(8); return 0; }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return cudaStreamCreate(stream); }
int cudaStreamDestroy(void *stream) { return 0; }
int cudaStreamSynchronize(void *stream) {
  const char *file = getenv("STUB_LOSE_FILE");
  if (file && access(file, F_OK) == 0) lost = ILLEGAL_ADDRESS;
  say("SYNC");
  return lost;
}
int cudaDeviceSynchronize() { say("SYNC device"); return lost; }
int cudaStreamWaitEvent() { return 0; }
int cudaStreamBeginCapture(void *stream, int mode) {
  if (getenv("STUB_NO_CAPTURE")) return CAPTURE_UNSUPPORTED;
  say("CAPTURE");
  capturing = 1;
  return 0;
}
int cudaStreamEndCapture(void *stream, void **graph) { capturing = 0; *graph = malloc(8); return 0; }
int cudaStreamIsCapturing(void *stream, int *status) { *status = capturing; return 0; }
int cudaGraphInstantiate(void **executable) { *executable = malloc(8); return 0; }
int cudaGraphLaunch(void *executable, void *stream) { say("REPLAY %p", executable); return lost; }
int cudaGraphDestroy(void *graph) { return 0; }
int cudaGraphExecDestroy(void *executable) { return 0; }
int cudaEventCreate(void **event) { *event = malloc(8); return 0; }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return cudaEventCreate(event); }
int cudaEventDestroy(void *event) { return 0; }
int cudaEventElapsedTime(float *ms) { *ms = 0.1f; return 0; }
int cudaEventRecord() { return 0; }
int cudaEventRecordWithFlags() { return 0; }
int cudaEventSynchronize(void *event) { say("SYNC event"); return lost; }
int cudaMemPoolCreate(void **pool) { static char it; *pool = &it; return 0; }
int cudaMemPoolDestroy() { return 0; }
int cudaMemPoolGetAttribute(void *pool, int attribute, void *value) { *(uint64_t *)value = 0; return 0; }
int cudaMemPoolSetAttribute() { return 0; }
int cudaMemPoolTrimTo() { return 0; }

/* ---- the card: an H100's figures ---- */

int cudaGetLastError() { return lost; }
int cudaPeekAtLastError() { return lost; }
const char *cudaGetErrorName(int code) { return code ? "cudaErrorStub" : "cudaSuccess"; }
const char *cudaGetErrorString(int code) {
  switch (code) {
    case 0: return "no error";
    case OUT_OF_MEMORY: return "out of memory";
    case NO_DEVICE: return "no CUDA-capable device is detected";
    case CAPTURE_UNSUPPORTED: return "operation not permitted when stream is capturing";
    case ILLEGAL_ADDRESS: return "an illegal memory access was encountered";
    default: return "unknown error";
  }
}
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaSetDevice(int device) { return 0; }
int cudaGetDeviceCount(int *count) { *count = cards; return cards ? 0 : NO_DEVICE; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
static int ok(void) { return 0; }
int cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags,
                                     int *result) {
  *function = (void *)ok;
  if (result) *result = 0;
  return 0;
}
/* cudaDeviceProp of CUDA 13, as far as the provider reads it. */
struct properties {
  char name[256], uuid[16], luid[8];
  unsigned luid_mask;
  size_t memory, shared_per_block;
  int registers_per_block, warp;
  size_t pitch;
  int threads_per_block, block[3], grid[3];
  size_t constants;
  int major, minor;
  size_t texture_alignment, texture_pitch_alignment;
  int processors, integrated, can_map_host;
  int textures[39];
  size_t surface_alignment;
  int concurrent_kernels, ecc, pci[3], tcc, engines, unified, bus_width, l2, persisting_l2, threads_per_processor;
  int stream_priorities, global_l1, local_l1;
  size_t shared_per_processor;
  int registers_per_processor, managed, multi_gpu, multi_gpu_group, host_atomics, pageable, concurrent_managed,
      preemption, host_pointer, cooperative;
  size_t shared_per_block_optin;
  int page_tables, direct_managed, blocks_per_processor, window;
  size_t reserved_shared;
  int host_registration, sparse, read_only_registration, timeline, memory_pools, rdma, rdma_flags, rdma_order,
      pool_handles, deferred_mapping, ipc, cluster, rest[64];
};
int cudaGetDeviceProperties(struct properties *p, int device) {
  memset(p, 0, sizeof *p);
  strcpy(p->name, "Stub H100");
  p->memory = limit;
  p->shared_per_block = 49152; p->registers_per_block = 65536; p->warp = 32; p->pitch = 2147483647;
  p->threads_per_block = 1024;
  p->block[0] = p->block[1] = 1024; p->block[2] = 64;
  p->grid[0] = 2147483647; p->grid[1] = p->grid[2] = 65535;
  p->constants = 65536;
  p->major = 9; p->minor = 0;
  p->processors = 132; p->threads_per_processor = 2048;
  p->shared_per_processor = 233472; p->shared_per_block_optin = 232448; p->reserved_shared = 1024;
  p->blocks_per_processor = 32; p->l2 = 50 << 20;
  p->concurrent_kernels = p->unified = p->managed = p->cooperative = p->memory_pools = p->cluster = 1;
  p->engines = 3;
  return 0;
}
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  static const struct { int attribute, value; } known[] = {
      {1, 1024}, {5, 2147483647}, {8, 49152}, {10, 32}, {12, 65536}, {16, 132}, {39, 2048}, {75, 9}, {76, 0},
      {81, 233472}, {82, 65536}, {97, 232448}, {106, 32}};
  *value = 1;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].attribute == attribute) *value = known[i].value;
  return 0;
}
