// Inspect pictures with the inspect.onnx of a release, in C++17 with ONNX Runtime alone.
// c++ -std=c++17 inspect_picture.cpp -I$ORT/include -L$ORT/lib -lonnxruntime -o inspect_picture
// ./inspect_picture inspect.onnx PICTURE...   (PPM or PGM, 8 bits: what a frame grabber holds)
#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
  int64_t height, width, channels;
  std::vector<uint8_t> pixels;  // row by row, the channels of a pixel side by side
};

Picture read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  Picture picture{};
  int most = 0;
  file >> kind >> picture.width >> picture.height >> most;
  if (!file || (kind != "P5" && kind != "P6") || most != 255)
    throw std::runtime_error(path + ": give a PGM or PPM of 8 bits");
  file.get();  // one white space before the pixels
  picture.channels = kind == "P6" ? 3 : 1;
  picture.pixels.resize(picture.height * picture.width * picture.channels);
  if (!file.read(reinterpret_cast<char*>(picture.pixels.data()), picture.pixels.size()))
    throw std::runtime_error(path + ": truncated");
  return picture;
}

int main(int count, char** words) try {
  if (count < 3) throw std::runtime_error("give inspect.onnx and pictures");
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);
  Ort::Session session(environment, words[1], Ort::SessionOptions());
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const char* inputs[] = {"image"};  // "threshold", a double, may be given as well
  const char* outputs[] = {"score", "decision", "displayed"};
  const char* decisions[] = {"good", "review", "defect"};
  int64_t worst = 0;
  for (int at = 2; at < count; ++at) {
    Picture picture = read(words[at]);
    const int64_t shape[] = {picture.height, picture.width, picture.channels};
    Ort::Value image = Ort::Value::CreateTensor<uint8_t>(
        memory, picture.pixels.data(), picture.pixels.size(), shape, 3);
    auto found = session.Run(Ort::RunOptions(), inputs, &image, 1, outputs, 3);
    const int64_t decision = *found[1].GetTensorData<int64_t>();
    std::printf("%s: %s %.17g %.1f\n", words[at], decisions[decision],
                *found[0].GetTensorData<double>(), *found[2].GetTensorData<double>());
    if (decision > worst) worst = decision;
  }
  return static_cast<int>(worst);  // 0: all good, 1: one to look at, 2: a defect
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 3;
}
