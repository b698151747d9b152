#include "services/cli/render/gl_context.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// A shared library; MuJoCo finds the functions it draws with among the global symbols.
class Library {
 public:
  static absl::StatusOr<Library> Open(const char* name) {
    void* handle = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
    if (handle == nullptr) {
      return absl::NotFoundError(dlerror());
    }
    return Library(handle);
  }

  template <typename Function>
  Function* Find(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(handle_, name));
  }

 private:
  // Never closed: drivers do not survive it.
  explicit Library(void* handle) : handle_(handle) {}
  void* handle_;
};

// Just what is needed of egl.h and eglext.h, which only development packages bring.
using EglHandle = void*;
using EglInt = int32_t;
constexpr EglInt kEglSurfaceType = 0x3033, kEglPbufferBit = 1, kEglRenderableType = 0x3040, kEglOpenGlBit = 8;
constexpr EglInt kEglRedSize = 0x3024, kEglGreenSize = 0x3023, kEglBlueSize = 0x3022, kEglAlphaSize = 0x3021;
constexpr EglInt kEglDepthSize = 0x3025, kEglStencilSize = 0x3026, kEglNone = 0x3038;
constexpr EglInt kEglWidth = 0x3057, kEglHeight = 0x3056;
constexpr EglInt kEglPlatformDevice = 0x313F, kEglPlatformSurfaceless = 0x31DD;
constexpr unsigned kEglOpenGlApi = 0x30A2;

struct Egl {
  EglHandle (*get_display)(void*);
  void* (*get_proc_address)(const char*);
  unsigned (*initialize)(EglHandle, EglInt*, EglInt*);
  unsigned (*choose_config)(EglHandle, const EglInt*, EglHandle*, EglInt, EglInt*);
  unsigned (*bind_api)(unsigned);
  EglHandle (*create_context)(EglHandle, EglHandle, EglHandle, const EglInt*);
  EglHandle (*create_pbuffer)(EglHandle, EglHandle, const EglInt*);
  unsigned (*make_current)(EglHandle, EglHandle, EglHandle, EglHandle);
  unsigned (*destroy_context)(EglHandle, EglHandle);
  unsigned (*destroy_surface)(EglHandle, EglHandle);
  unsigned (*terminate)(EglHandle);
  EglInt (*get_error)();
};

template <typename Function>
bool Resolve(const Library& library, const char* name, Function** function) {
  *function = library.Find<Function>(name);
  return *function != nullptr;
}

absl::StatusOr<Egl> LoadEgl() {
  ASSIGN_OR_RETURN(const Library library, Library::Open("libEGL.so.1"));
  Egl egl;
  const bool complete = Resolve(library, "eglGetDisplay", &egl.get_display) &&
                        Resolve(library, "eglGetProcAddress", &egl.get_proc_address) &&
                        Resolve(library, "eglInitialize", &egl.initialize) &&
                        Resolve(library, "eglChooseConfig", &egl.choose_config) &&
                        Resolve(library, "eglBindAPI", &egl.bind_api) &&
                        Resolve(library, "eglCreateContext", &egl.create_context) &&
                        Resolve(library, "eglCreatePbufferSurface", &egl.create_pbuffer) &&
                        Resolve(library, "eglMakeCurrent", &egl.make_current) &&
                        Resolve(library, "eglDestroyContext", &egl.destroy_context) &&
                        Resolve(library, "eglDestroySurface", &egl.destroy_surface) &&
                        Resolve(library, "eglTerminate", &egl.terminate) &&
                        Resolve(library, "eglGetError", &egl.get_error);
  if (!complete) {
    return absl::InternalError("libEGL.so.1 lacks a function");
  }
  return egl;
}

// GPUs first, then Mesa without a surface, then whatever is the default.
std::vector<EglHandle> FindDisplays(const Egl& egl) {
  using QueryDevices = unsigned(EglInt, EglHandle*, EglInt*);
  using GetPlatformDisplay = EglHandle(EglInt, void*, const EglInt*);
  auto* query = reinterpret_cast<QueryDevices*>(egl.get_proc_address("eglQueryDevicesEXT"));
  auto* get = reinterpret_cast<GetPlatformDisplay*>(egl.get_proc_address("eglGetPlatformDisplayEXT"));
  std::vector<EglHandle> displays;
  if (query != nullptr && get != nullptr) {
    std::array<EglHandle, 16> devices{};
    EglInt num_devices = 0;
    if (query(devices.size(), devices.data(), &num_devices)) {
      for (int i = 0; i < num_devices; ++i) {
        displays.push_back(get(kEglPlatformDevice, devices[i], nullptr));
      }
    }
    displays.push_back(get(kEglPlatformSurfaceless, nullptr, nullptr));
  }
  displays.push_back(egl.get_display(nullptr));
  return displays;
}

class EglContext final : public GlContext {
 public:
  static absl::StatusOr<std::unique_ptr<GlContext>> Create() {
    ASSIGN_OR_RETURN(const Egl egl, LoadEgl());
    for (EglHandle display : FindDisplays(egl)) {
      if (display == nullptr || !egl.initialize(display, nullptr, nullptr)) {
        continue;
      }
      std::unique_ptr<EglContext> context(new EglContext(egl, display));
      if (context->MakeCurrent()) {
        return context;
      }
    }
    return absl::UnavailableError(absl::StrCat("no usable device, error 0x", absl::Hex(egl.get_error())));
  }

  ~EglContext() override {
    egl_.make_current(display_, nullptr, nullptr, nullptr);
    if (context_ != nullptr) {
      egl_.destroy_context(display_, context_);
    }
    if (surface_ != nullptr) {
      egl_.destroy_surface(display_, surface_);
    }
    egl_.terminate(display_);
  }

  const char* backend() const override { return "EGL"; }

 private:
  EglContext(const Egl& egl, EglHandle display) : egl_(egl), display_(display) {}

  bool MakeCurrent() {
    const EglInt wanted[] = {kEglRedSize,
                             8,
                             kEglGreenSize,
                             8,
                             kEglBlueSize,
                             8,
                             kEglAlphaSize,
                             8,
                             kEglDepthSize,
                             24,
                             kEglStencilSize,
                             8,
                             kEglSurfaceType,
                             kEglPbufferBit,
                             kEglRenderableType,
                             kEglOpenGlBit,
                             kEglNone};
    const EglInt size[] = {kEglWidth, 16, kEglHeight, 16, kEglNone};
    EglHandle config = nullptr;
    EglInt num_configs = 0;
    if (!egl_.choose_config(display_, wanted, &config, 1, &num_configs) || num_configs < 1 ||
        !egl_.bind_api(kEglOpenGlApi)) {
      return false;
    }
    context_ = egl_.create_context(display_, config, nullptr, nullptr);
    surface_ = egl_.create_pbuffer(display_, config, size);
    return context_ != nullptr && egl_.make_current(display_, surface_, surface_, context_);
  }

  const Egl egl_;
  EglHandle display_;
  EglHandle context_ = nullptr;
  EglHandle surface_ = nullptr;
};

// Of osmesa.h.
constexpr unsigned kOsMesaRgba = 0x1908;
constexpr unsigned kGlUnsignedByte = 0x1401;
constexpr int kBufferSize = 16;

struct OsMesa {
  void* (*create_context)(unsigned, EglInt, EglInt, EglInt, void*);
  unsigned char (*make_current)(void*, void*, unsigned, EglInt, EglInt);
  void (*destroy_context)(void*);
};

class OsMesaContext final : public GlContext {
 public:
  static absl::StatusOr<std::unique_ptr<GlContext>> Create() {
    absl::StatusOr<Library> library = Library::Open("libOSMesa.so.8");
    if (!library.ok()) {
      library = Library::Open("libOSMesa.so.6");
    }
    RETURN_IF_ERROR(library.status());
    OsMesa mesa;
    if (!Resolve(*library, "OSMesaCreateContextExt", &mesa.create_context) ||
        !Resolve(*library, "OSMesaMakeCurrent", &mesa.make_current) ||
        !Resolve(*library, "OSMesaDestroyContext", &mesa.destroy_context)) {
      return absl::InternalError("libOSMesa lacks a function");
    }
    std::unique_ptr<OsMesaContext> context(new OsMesaContext(mesa));
    if (context->context_ == nullptr || !mesa.make_current(context->context_, context->buffer_.data(),
                                                           kGlUnsignedByte, kBufferSize, kBufferSize)) {
      return absl::UnavailableError("no context");
    }
    return context;
  }

  ~OsMesaContext() override {
    mesa_.make_current(nullptr, nullptr, 0, 0, 0);
    if (context_ != nullptr) {
      mesa_.destroy_context(context_);
    }
  }

  const char* backend() const override { return "OSMesa"; }

 private:
  explicit OsMesaContext(const OsMesa& mesa)
      : mesa_(mesa),
        context_(mesa.create_context(kOsMesaRgba, 24, 8, 0, nullptr)),
        buffer_(kBufferSize * kBufferSize * 4) {}

  const OsMesa mesa_;
  void* context_;
  std::vector<unsigned char> buffer_;  // the default framebuffer, which nothing is drawn into
};

}  // namespace

absl::StatusOr<std::unique_ptr<GlContext>> GlContext::Create() {
  const char* variable = std::getenv("MUJOCO_GL");
  const absl::string_view wanted = variable == nullptr ? "" : variable;
  absl::Status egl = absl::OkStatus(), mesa = absl::OkStatus();
  if (wanted != "osmesa") {
    absl::StatusOr<std::unique_ptr<GlContext>> context = EglContext::Create();
    if (context.ok()) {
      return context;
    }
    egl = context.status();
  }
  if (wanted != "egl") {
    absl::StatusOr<std::unique_ptr<GlContext>> context = OsMesaContext::Create();
    if (context.ok()) {
      return context;
    }
    mesa = context.status();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "drawing needs OpenGL without a display; EGL: ", egl.ok() ? "not tried (MUJOCO_GL)" : egl.message(),
      "; OSMesa: ", mesa.ok() ? "not tried (MUJOCO_GL)" : mesa.message(), "; apt install libosmesa6"));
}

}  // namespace demorl
