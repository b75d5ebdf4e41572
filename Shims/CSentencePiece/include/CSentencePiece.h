// SentencePiece's tokenizer for C: the few calls that PI0Tokenizer makes. Nothing here throws; a
// failure leaves its reason in `message`, SP_MESSAGE_SIZE bytes, ended by NUL.
#ifndef CSENTENCEPIECE_H
#define CSENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SP_MESSAGE_SIZE 256

typedef struct sp_tokenizer sp_tokenizer;

// The tokenizer of a model file's bytes, or NULL.
sp_tokenizer *sp_open(const void *bytes, size_t count, char *message);

void sp_close(sp_tokenizer *tokenizer);

// Ids, from 0 up to but without this.
int32_t sp_size(const sp_tokenizer *tokenizer);

// The id that begins a text (BOS), or -1 where the model has none.
int32_t sp_beginning(const sp_tokenizer *tokenizer);

// The ids of a UTF-8 text, to be given to sp_free, and their number; -1 where that fails. May be
// called by several threads at once.
int64_t sp_encode(const sp_tokenizer *tokenizer, const char *text, size_t count, int32_t **ids,
                  char *message);

void sp_free(int32_t *ids);

#ifdef __cplusplus
}
#endif

#endif
