/* A library that tells of itself as HotSpot's libjvm.so does, with a code cache of known contents.
 *
 * LAYOUT 17: block lengths of 8 bytes, code by address, CompiledMethod. LAYOUT 25: 4 bytes, 16-bit frame_complete,
 * code by offset. Fields lie elsewhere than in any real JVM, so nothing can be known beforehand.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct symbol { uint32_t other; uint16_t length; char body[64]; };
struct klass { char other[24]; struct symbol *name; };
struct constant_pool { char other[40]; struct klass *holder; };
struct pool { struct constant_pool head; struct symbol *entries[8]; };
struct const_method { char other[8]; struct pool *constants; uint16_t flags, name_index; };
struct method { char other[16]; struct const_method *constants; };

#if LAYOUT == 17
struct block { uint64_t length; uint8_t used; char pad[7]; };
struct blob {
	char other[8]; const char *name; int size; int frame_size; int frame_complete;
	char *code_begin, *code_end; struct method *method;
};
#else
struct block { uint32_t length; uint8_t used; char pad[3]; };
struct blob {
	const char *name; struct method *method; int size; int code_offset; int data_offset; int frame_size;
	int16_t frame_complete;
};
#endif
struct space { char *low_boundary, *low, *high; };
struct heap { int id; struct space memory; struct space segments; int shift; };
struct array { char other[4]; int length; struct heap **data; };

struct entry { const char *type, *field, *kind; int32_t is_static; uint64_t offset; void *address; };
struct type_entry { const char *type, *parent; int32_t oop, integer, is_unsigned; uint64_t size; };
static struct array *heaps;

#define AT(type_name, field_name, kind, type, member) {type_name, field_name, kind, 0, offsetof(struct type, member), 0}
static struct entry entries[] = {
	{"CodeCache", "_heaps", "GrowableArray<CodeHeap*>*", 1, 0, &heaps},
	AT("GrowableArrayBase", "_len", "int", array, length),
	AT("GrowableArray<int>", "_data", "int*", array, data),
	AT("CodeHeap", "_memory", "VirtualSpace", heap, memory),
	AT("CodeHeap", "_segmap", "VirtualSpace", heap, segments),
	AT("CodeHeap", "_log2_segment_size", "int", heap, shift),
	AT("VirtualSpace", "_low", "char*", space, low),
	AT("VirtualSpace", "_high", "char*", space, high),
	AT("HeapBlock::Header", "_used", "bool", block, used),
	AT("CodeBlob", "_name", "const char*", blob, name),
	AT("CodeBlob", "_size", "int", blob, size),
	AT("CodeBlob", "_frame_size", "int", blob, frame_size),
#if LAYOUT == 17
	AT("HeapBlock::Header", "_length", "size_t", block, length),
	AT("CodeBlob", "_frame_complete_offset", "int", blob, frame_complete),
	AT("CodeBlob", "_code_begin", "address", blob, code_begin),
	AT("CodeBlob", "_code_end", "address", blob, code_end),
	AT("CompiledMethod", "_method", "Method*", blob, method),
#else
	AT("HeapBlock::Header", "_length", "uint32_t", block, length),
	AT("CodeBlob", "_frame_complete_offset", "int16_t", blob, frame_complete),
	AT("CodeBlob", "_code_offset", "int", blob, code_offset),
	AT("CodeBlob", "_data_offset", "int", blob, data_offset),
	AT("nmethod", "_method", "Method*", blob, method),
#endif
	AT("Method", "_constMethod", "ConstMethod*", method, constants),
	AT("ConstMethod", "_constants", "ConstantPool*", const_method, constants),
	AT("ConstMethod", "_name_index", "u2", const_method, name_index),
	AT("ConstantPool", "_pool_holder", "InstanceKlass*", constant_pool, holder),
	AT("Klass", "_name", "Symbol*", klass, name),
	AT("Symbol", "_length", "u2", symbol, length),
	AT("Symbol", "_body[0]", "u1", symbol, body),
	AT("Symbol", "_body", "u1", symbol, body),
	{0},
};
static struct type_entry types[] = {
	{"HeapBlock", 0, 0, 0, 0, sizeof(struct block)},
	{"ConstantPool", 0, 0, 0, 0, sizeof(struct constant_pool)},
	{0},
};
#define EXPORT(name, value) uint64_t name = value
struct entry *gHotSpotVMStructs = entries;
struct type_entry *gHotSpotVMTypes = types;
EXPORT(gHotSpotVMStructEntryArrayStride, sizeof(struct entry));
EXPORT(gHotSpotVMStructEntryTypeNameOffset, offsetof(struct entry, type));
EXPORT(gHotSpotVMStructEntryFieldNameOffset, offsetof(struct entry, field));
EXPORT(gHotSpotVMStructEntryTypeStringOffset, offsetof(struct entry, kind));
EXPORT(gHotSpotVMStructEntryIsStaticOffset, offsetof(struct entry, is_static));
EXPORT(gHotSpotVMStructEntryOffsetOffset, offsetof(struct entry, offset));
EXPORT(gHotSpotVMStructEntryAddressOffset, offsetof(struct entry, address));
EXPORT(gHotSpotVMTypeEntryArrayStride, sizeof(struct type_entry));
EXPORT(gHotSpotVMTypeEntryTypeNameOffset, offsetof(struct type_entry, type));
EXPORT(gHotSpotVMTypeEntrySizeOffset, offsetof(struct type_entry, size));

#define SHIFT 7
#define SEGMENTS 1024
static int next_segment;

static struct symbol *symbol(const char *text)
{
	struct symbol *made = calloc(1, sizeof(*made));
	made->length = strlen(text);
	memcpy(made->body, text, made->length);
	/* What follows is no end of a string. */
	made->body[made->length] = 'X';
	return made;
}

struct method *method(const char *class_name, const char *name)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	struct method *made = calloc(1, sizeof(*made));
	pool->head.holder = calloc(1, sizeof(struct klass));
	pool->head.holder->name = symbol(class_name);
	pool->entries[5] = symbol(name);
	made->constants = calloc(1, sizeof(struct const_method));
	made->constants->constants = pool;
	made->constants->name_index = 5;
	return made;
}

/* Puts a blob with so many bytes of code into a heap; returns where its code begins. */
char *add(int number, const char *name, struct method *compiled, int code_size)
{
	struct heap *heap = heaps->data[number];
	int head = (sizeof(struct block) + sizeof(struct blob) + 31) & ~31;
	int segments = (head + code_size + (1 << SHIFT) - 1) >> SHIFT;
	char *at = heap->memory.low + ((long)next_segment << SHIFT);
	struct block *block = (void *)at;
	struct blob *blob = (void *)(at + sizeof(*block));
	for (int i = 0; i < segments; i++)
		heap->segments.low[next_segment + i] = i < 0xfe ? i : 0xfe;
	block->length = segments;
	block->used = 1;
	memset(blob, 0, sizeof(*blob));
	blob->name = name;
	blob->size = head - sizeof(*block) + code_size;
	blob->frame_size = 6;
	blob->frame_complete = 12;
	blob->method = compiled;
#if LAYOUT == 17
	blob->code_begin = at + head;
	blob->code_end = at + head + code_size;
#else
	blob->code_offset = at + head - (char *)blob;
	blob->data_offset = blob->code_offset + code_size;
#endif
	next_segment += segments;
	return at + head;
}

/* What lay at an address is thrown away: its block is free, or another method takes its place. */
void replace(char *code, struct method *other)
{
	int head = (sizeof(struct block) + sizeof(struct blob) + 31) & ~31;
	struct block *block = (void *)(code - head);
	struct blob *blob = (void *)(code - head + sizeof(*block));
	if (other)
		blob->method = other;
	else
		block->used = 0;
}

void start(void)
{
	heaps = calloc(1, sizeof(*heaps));
	heaps->length = 1;
	heaps->data = calloc(1, sizeof(struct heap *));
	struct heap *heap = heaps->data[0] = calloc(1, sizeof(*heap));
	heap->shift = SHIFT;
	heap->memory.low = mmap(0, SEGMENTS << SHIFT, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap->memory.high = heap->memory.low + (SEGMENTS << SHIFT);
	heap->segments.low = malloc(SEGMENTS);
	memset(heap->segments.low, 0xff, SEGMENTS);
	heap->segments.high = heap->segments.low + SEGMENTS;
}
