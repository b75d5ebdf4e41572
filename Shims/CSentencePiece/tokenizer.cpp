#include "CSentencePiece.h"

#include <sentencepiece_processor.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

struct sp_tokenizer {
  sentencepiece::SentencePieceProcessor processor;
};

namespace {

void put(char *message, const std::string &text) {
  std::snprintf(message, SP_MESSAGE_SIZE, "%s", text.c_str());
}

}  // namespace

sp_tokenizer *sp_open(const void *bytes, size_t count, char *message) {
  try {
    auto *tokenizer = new sp_tokenizer;
    const auto status = tokenizer->processor.LoadFromSerializedProto(
        absl::string_view(static_cast<const char *>(bytes), count));
    if (status.ok()) return tokenizer;
    put(message, status.ToString());
    delete tokenizer;
  } catch (const std::exception &error) {
    put(message, error.what());
  } catch (...) {
    put(message, "unknown failure");
  }
  return nullptr;
}

void sp_close(sp_tokenizer *tokenizer) { delete tokenizer; }

int32_t sp_size(const sp_tokenizer *tokenizer) { return tokenizer->processor.GetPieceSize(); }

int32_t sp_beginning(const sp_tokenizer *tokenizer) { return tokenizer->processor.bos_id(); }

int64_t sp_encode(const sp_tokenizer *tokenizer, const char *text, size_t count, int32_t **ids,
                  char *message) {
  try {
    std::vector<int> found;
    const auto status = tokenizer->processor.Encode(absl::string_view(text, count), &found);
    if (!status.ok()) {
      put(message, status.ToString());
      return -1;
    }
    auto *copy = static_cast<int32_t *>(std::malloc(found.size() * sizeof(int32_t) + 1));
    if (copy == nullptr) throw std::bad_alloc();
    for (size_t i = 0; i < found.size(); i++) copy[i] = found[i];
    *ids = copy;
    return static_cast<int64_t>(found.size());
  } catch (const std::exception &error) {
    put(message, error.what());
  } catch (...) {
    put(message, "unknown failure");
  }
  return -1;
}

void sp_free(int32_t *ids) { std::free(ids); }
