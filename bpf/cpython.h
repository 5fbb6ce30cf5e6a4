/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The Python functions that the current thread is in, read out of CPython's own structures in its memory.
 *
 * _PyRuntime -> interpreters -> thread states, of which the current thread's has pthread_self() as its id, which
 * on x86-64 is the base of the fs segment (glibc and musl). From there the chain of interpreter frames leads from
 * the innermost function to the outermost. Where all of that lies differs by version: user space says it for each
 * process, and reads the names of the code objects later.
 *
 * A program that ends in a moment would be gone by then. User space says it for each file that holds CPython, too: a
 * walk of native frames that comes to such a file (bpf/unwind.h) knows what it needs of the process, and the names are
 * read here and handed over.
 *
 * A sample goes through a chain of programs, each ended by a tail call, as bpf/unwind.h does:
 *
 *   the probe's ──► cpython_walk, again and again, some frames a round ──► the probe's, which stores it
 *                        ├► cpython_find and back, for a thread that is not known yet
 *                        └► cpython_tell, for a process that may end before its names are read
 *
 * While the chain is not loaded, or the process does not run CPython, the sample has no Python functions.
 */
#ifndef EBTOP_CPYTHON_H
#define EBTOP_CPYTHON_H

#include "samples.h"

/* Offsets in bytes, for one process or one file. */
struct cpython {
	u64 runtime;	/* address of _PyRuntime in the process, or where it is from the file's first byte on */
	u64 mm;	/* struct mm_struct of the process, filled in at the first walk */
	u32 interpreters;	/* _PyRuntime: the newest interpreter */
	u32 next_interpreter;
	u32 threads;	/* interpreter: its newest thread state */
	u32 next_thread;
	u32 thread_id;
	u32 current_frame;	/* thread state: the innermost frame, or (3.11, 3.12) the _PyCFrame that has it */
	u32 has_cframe;
	u32 cframe_frame;
	u32 code;	/* frame: the code object */
	u32 previous;	/* frame: who called */
	u32 owner;	/* frame: the byte that tells entries, as `entries` says */
	u32 entries;
	u32 first_line;	/* code object */
	u32 file_name;
	u32 qualified_name;
	u32 text_length;	/* str */
	u32 text_state;
	u32 ascii_header;
	u32 compact_header;
	u32 kind_shift;
	u32 tells_names;	/* user space does not know the process */
	u32 unused;
};
BPF_TABLE("lru_hash", u32, struct cpython, cpython_processes, 1024);
BPF_HASH(cpython_files, u32, struct cpython, 64);	/* by the number of the file, as in bpf/unwind.h */

/* An entry is a frame that C code called: each evaluation loop on the native stack has one. */
enum cpython_entries {
	EVERY_FRAME,	/* up to 3.10 */
	MARKED_FRAMES,	/* 3.11: those whose byte is set */
	SHIM_ABOVE,	/* since 3.12: those that a frame without code of its own precedes, of owner 3 or above */
};
#define OWNED_BY_INTERPRETER 3

/*
 * How a frame is handed over. Code objects are 16-byte aligned and below 2^47; the bits around their address say
 * whether the frame is an entry, and enough about the code object to notice when another one took its place
 * before user space read it.
 */
#define CODE_ENTRY 1ULL
#define CODE_MASK 0x0000fffffffffff8ULL
#define CODE_CHECK_SHIFT 48

#define CPYTHON_FRAME_BYTES 88	/* what the offsets in a frame may reach */
#define CPYTHON_FRAMES_A_ROUND 16
#define CPYTHON_ROUNDS 12	/* 33 tail calls are allowed at most, with those of the native walk */
#define CPYTHON_ROUNDS_TELLING 7
#define CPYTHON_NAMES_A_ROUND 64
#define CPYTHON_TELLINGS 2
#define CPYTHON_NAMES_TOLD 1024
#define CPYTHON_NAME 120
#define CPYTHON_FILE 240
#define CPYTHON_THREADS 512
#define CPYTHON_RETRY_NS 100000000ULL
#define CPYTHON_RETRY_SOON_NS 4000000ULL

enum { CPYTHON_FIND, CPYTHON_WALK, CPYTHON_DONE, CPYTHON_TELL, CPYTHON_PROGRAMS };
BPF_PROG_ARRAY(cpython_programs, CPYTHON_PROGRAMS);

struct cpython_thread {
	u64 state;	/* 0: none was found */
	u64 looked_at;
};
/* By pid and tid. */
BPF_TABLE("lru_hash", u64, struct cpython_thread, cpython_threads, 4096);

/* How far the walk of a sample has come. */
struct cpython_walk {
	u64 frame;	/* the next one's address */
	u32 rounds;	/* 0: the innermost frame is to be found */
	u32 told;	/* of so many functions user space has the names */
	u32 tellings;
	u32 unused;
	u8 bytes[CPYTHON_FRAME_BYTES + 8];	/* what was read of a frame */
};
BPF_PERCPU_ARRAY(cpython_walk_scratch, struct cpython_walk, 1);
BPF_PERCPU_ARRAY(cpython_stack_scratch, struct stack, 1);

/* What a code object says. Of a longer name the first bytes are there, of a longer path the last. */
struct cpython_name {
	u64 word;	/* as in stacks, without CODE_ENTRY */
	u32 pid;
	s32 line;
	u32 name_length;	/* characters */
	u32 name_kind;	/* bytes of each */
	u32 file_length;
	u32 file_kind;
	char name[CPYTHON_NAME];
	char file[CPYTHON_FILE];
};
RECORD_LAYOUT(cpython_name);
BPF_RINGBUF_OUTPUT(cpython_names, 32);

struct cpython_told {
	u64 word;
	u64 pid;
};
BPF_TABLE("lru_hash", struct cpython_told, u8, cpython_told, CPYTHON_NAMES_TOLD);

#define READ_USER(destination, address) bpf_probe_read_user(destination, sizeof(*(destination)), (void *)(address))

/* The innermost frame of a thread state that is the current thread's; 0 = there is none, or it is another's. */
inlined u64 cpython_innermost(struct cpython *python, u64 state, u64 self)
{
	u64 id = 0, frame = 0;

	if (READ_USER(&id, state + python->thread_id) || id != self)
		return 0;
	if (READ_USER(&frame, state + python->current_frame))
		return 0;
	if (frame && python->has_cframe && READ_USER(&frame, frame + python->cframe_frame))
		return 0;
	return frame;
}

/* pthread_self() of the current thread. */
inlined u64 cpython_self(void)
{
	u64 self = 0, task = bpf_get_current_task();

	bpf_probe_read_kernel(&self, sizeof(self),
			      (void *)(task + OFFSET(task_struct, thread) + OFFSET(thread_struct, fsbase)));
	return self;
}

/* The innermost frame of the current thread if its thread state was found before, otherwise 0. */
inlined u64 cpython_known_innermost(struct cpython *python)
{
	u64 key = bpf_get_current_pid_tgid();
	struct cpython_thread *known = cpython_threads.lookup(&key);

	return known && known->state ? cpython_innermost(python, known->state, cpython_self()) : 0;
}

/*
 * Threads that never run Python are looked for again only so often: the list may be long. A process that user space does
 * not know has just begun, and its thread, too.
 */
inlined u64 cpython_find_innermost(struct cpython *python)
{
	u64 key = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns(), self;
	u64 interpreter = 0, state = 0, frame = 0;
	struct cpython_thread *known = cpython_threads.lookup(&key), found = {};

	if (known && now - known->looked_at < (python->tells_names ? CPYTHON_RETRY_SOON_NS : CPYTHON_RETRY_NS))
		return 0;
	self = cpython_self();
	READ_USER(&interpreter, python->runtime + python->interpreters);
	if (interpreter)
		READ_USER(&state, interpreter + python->threads);
	for (int i = 0; i < CPYTHON_THREADS; i++) {
		if (state) {
			frame = cpython_innermost(python, state, self);
			if (frame)
				break;
			if (READ_USER(&state, state + python->next_thread))
				break;
		} else {
			if (!interpreter || READ_USER(&interpreter, interpreter + python->next_interpreter) || !interpreter)
				break;
			READ_USER(&state, interpreter + python->threads);
		}
	}
	found.state = frame ? state : 0;
	found.looked_at = now;
	cpython_threads.update(&key, &found);
	return frame;
}

inlined u64 cpython_word(struct cpython *python, u64 code)
{
	u64 file_name = 0;
	u32 first_line = 0;

	READ_USER(&first_line, code + python->first_line);
	READ_USER(&file_name, code + python->file_name);
	return code | (first_line + (file_name >> 4)) << CODE_CHECK_SHIFT;
}

/* The compiler would check another copy of `at` than it takes the address by, which the verifier does not follow. */
inlined void set_address(struct stack *stack, u64 at, u64 word)
{
	asm volatile("" : "+r"(at));
	if (at < STACK_DEPTH)
		stack->address[at] = word;
}

inlined void mark_entry(struct stack *stack, u64 at)
{
	asm volatile("" : "+r"(at));
	if (at < STACK_DEPTH)
		stack->address[at] |= CODE_ENTRY;
}

/* One frame, and on to its caller. Not 0: the walk can't go on. */
inlined int cpython_step(struct cpython *python, struct cpython_walk *walk, struct stack *stack)
{
	u64 code_at = python->code, previous_at = python->previous, owner_at = python->owner;
	u64 depth = stack->depth, code;
	u32 owner;

	if (code_at > CPYTHON_FRAME_BYTES || previous_at > CPYTHON_FRAME_BYTES || owner_at > CPYTHON_FRAME_BYTES)
		return 1;
	if (bpf_probe_read_user(walk->bytes, sizeof(walk->bytes), (void *)walk->frame))
		return 1;
	code = *(u64 *)(walk->bytes + code_at) & CODE_MASK;
	owner = walk->bytes[owner_at];
	if (python->entries == SHIM_ABOVE && owner >= OWNED_BY_INTERPRETER) {
		mark_entry(stack, depth - 1);
	} else {
		if (depth >= STACK_DEPTH)
			return 1;
		code = cpython_word(python, code);
		if (python->entries == EVERY_FRAME || (python->entries == MARKED_FRAMES && owner))
			code |= CODE_ENTRY;
		set_address(stack, depth, code);
		stack->depth = depth + 1;
	}
	walk->frame = *(u64 *)(walk->bytes + previous_at);
	return 0;
}

int cpython_walk(void *ctx)
{
	u32 pid = current_tgid();
	int first = 0, end = 0;
	struct cpython *python = cpython_processes.lookup(&pid);
	struct cpython_walk *walk = cpython_walk_scratch.lookup(&first);
	struct stack *stack = cpython_stack_scratch.lookup(&first);

	if (python && walk && stack) {
		if (!walk->rounds) {
			walk->frame = cpython_known_innermost(python);
			if (!walk->frame)
				cpython_programs.call(ctx, CPYTHON_FIND);
		}
		for (int i = 0; i < CPYTHON_FRAMES_A_ROUND; i++) {
			if (!walk->frame)
				break;
			end = cpython_step(python, walk, stack);
			if (end)
				break;
		}
		if (walk->frame && !end &&
		    ++walk->rounds < (python->tells_names ? CPYTHON_ROUNDS_TELLING : CPYTHON_ROUNDS))
			cpython_programs.call(ctx, CPYTHON_WALK);
		stack->cut = walk->frame && stack->depth ? END_TOO_DEEP : END_WHOLE;
		if (python->tells_names && stack->depth)
			cpython_programs.call(ctx, CPYTHON_TELL);
	}
	cpython_programs.call(ctx, CPYTHON_DONE);
	count(LOST_SCRATCH);
	return 0;
}

int cpython_find(void *ctx)
{
	u32 pid = current_tgid();
	int first = 0;
	struct cpython *python = cpython_processes.lookup(&pid);
	struct cpython_walk *walk = cpython_walk_scratch.lookup(&first);

	if (python && walk) {
		walk->frame = cpython_find_innermost(python);
		walk->rounds = 1;
		if (walk->frame)
			cpython_programs.call(ctx, CPYTHON_WALK);
	}
	cpython_programs.call(ctx, CPYTHON_DONE);
	count(LOST_SCRATCH);
	return 0;
}

/* A str's characters, `length` of `kind` bytes each: the last ones or the first, as many as there is room for. */
inlined int read_text(struct cpython *python, u64 at, u32 *length, u32 *kind, char *text, u64 room, int last)
{
	u64 characters = 0, bytes;
	u32 state = 0;

	if (READ_USER(&characters, at + python->text_length) || READ_USER(&state, at + python->text_state))
		return 1;
	state >>= python->kind_shift;
	*length = characters;
	*kind = state & 7;
	/* Characters that lie elsewhere are a subclass's: code has none. */
	if (!(state & 8) || characters >> 24)
		return 1;
	bytes = characters * *kind;
	at += state & 16 ? python->ascii_header : python->compact_header;
	if (bytes > room) {
		at += last ? bytes - room : 0;
		bytes = room;
	}
	return bpf_probe_read_user(text, bytes, (void *)at);
}

/* Hands over what the code object of a function says, once for each. */
inlined void tell_name(struct cpython *python, u64 word)
{
	struct cpython_told key = { .word = word & ~CODE_ENTRY, .pid = current_tgid() };
	u64 code = word & CODE_MASK, name = 0, file = 0;
	struct cpython_name *told;
	u8 yes = 1;
	int failed;

	if (cpython_told.lookup(&key))
		return;
	told = cpython_names.ringbuf_reserve(sizeof(*told));
	if (!told)
		return;
	told->word = key.word;
	told->pid = key.pid;
	failed = READ_USER(&told->line, code + python->first_line) ||
		 READ_USER(&file, code + python->file_name) ||
		 READ_USER(&name, code + python->qualified_name) ||
		 read_text(python, name, &told->name_length, &told->name_kind, told->name, CPYTHON_NAME, 0) ||
		 read_text(python, file, &told->file_length, &told->file_kind, told->file, CPYTHON_FILE, 1);
	if (failed) {
		cpython_names.ringbuf_discard(told, 0);
		return;
	}
	cpython_names.ringbuf_submit(told, BPF_RB_NO_WAKEUP);
	cpython_told.update(&key, &yes);
}

int cpython_tell(void *ctx)
{
	u32 pid = current_tgid();
	int first = 0;
	struct cpython *python = cpython_processes.lookup(&pid);
	struct cpython_walk *walk = cpython_walk_scratch.lookup(&first);
	struct stack *stack = cpython_stack_scratch.lookup(&first);
	u64 at;

	if (python && walk && stack) {
#pragma clang loop unroll(disable)
		for (int i = 0; i < CPYTHON_NAMES_A_ROUND; i++) {
			at = walk->told;
			asm volatile("" : "+r"(at));
			if (at >= stack->depth || at >= STACK_DEPTH)
				break;
			tell_name(python, stack->address[at]);
			walk->told = at + 1;
		}
		if (walk->told < stack->depth && ++walk->tellings < CPYTHON_TELLINGS)
			cpython_programs.call(ctx, CPYTHON_TELL);
	}
	cpython_programs.call(ctx, CPYTHON_DONE);
	count(LOST_SCRATCH);
	return 0;
}

inlined u64 current_mm(void)
{
	u64 mm = 0;

	READ(task_struct, mm, &mm, bpf_get_current_task());
	return mm;
}

/*
 * The native walk has come to a file, whose first byte would be mapped at `first_byte`. Returns whether it holds
 * CPython; how to walk the process is known then.
 */
inlined int note_file_of_cpython(u32 file, u64 first_byte, u64 mm)
{
	u32 pid = current_tgid();
	struct cpython *held = cpython_files.lookup(&file), *known, found;

	if (!held)
		return 0;
	known = cpython_processes.lookup(&pid);
	if (known && (!known->mm || known->mm == mm))
		return 1;
	found = *held;
	found.runtime += first_byte;
	found.mm = mm;
	found.tells_names = 1;
	cpython_processes.update(&pid, &found);
	return 1;
}

/* Whether it is known how to walk the current process. */
inlined int runs_cpython(void)
{
	u32 pid = current_tgid();
	struct cpython *python = cpython_processes.lookup(&pid);
	u64 mm;

	if (!python)
		return 0;
	mm = current_mm();
	if (!python->mm)
		python->mm = mm;
	return python->mm == mm;	/* or it has executed another program since, or is another process */
}

/*
 * Walks the Python functions of the current thread, if its process is known to run CPython. May not come back: the
 * sample then goes on in the program that stands in slot CPYTHON_DONE.
 */
inlined void walk_interpreted_stack(void *ctx)
{
	int first = 0;
	struct stack *stack = cpython_stack_scratch.lookup(&first);
	struct cpython_walk *walk = cpython_walk_scratch.lookup(&first);

	if (!stack || !walk)
		return;
	stack->depth = 0;
	stack->cut = END_WHOLE;
	walk->rounds = 0;
	walk->told = 0;
	walk->tellings = 0;
	if (HAS(thread_struct, fsbase) && runs_cpython())
		cpython_programs.call(ctx, CPYTHON_WALK);
}

/* The hash of what was walked. */
inlined u64 store_interpreted_stack(u32 half)
{
	int first = 0;
	struct stack *stack = cpython_stack_scratch.lookup(&first);

	return stack ? store_stack(stack, half) : NO_STACK;
}

#endif
