/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * User stacks by tables made from .eh_frame, for code without frame pointers. x86-64. Stands in for user_stack.h.
 *
 * A sample is walked by a chain of programs, each ended by a tail call, so that the verifier of old kernels sees
 * small programs:
 *
 *   the probe's ──► unwind_native, again and again, some frames a round ──► the probe's, which stores it
 *                        └► unwind_file and back, where the kernel is asked which file is mapped
 *
 * While the chain is not loaded, the tail call returns and frame pointers have to do. What this walk can't finish for
 * want of knowledge (a new process, a new library, a table not built yet) goes to user space as registers and a copy
 * of the stack, under a hash that stands in for the stack's own.
 *
 * User space writes the shared maps, ebtop/unwind: one array for each binary's table, so that what a table takes
 * comes and goes with it, and one array with the executable mappings of the processes that are sampled often. Of all
 * others the walk asks the kernel which file is mapped where, and their addresses become places in files: programs
 * that end in a moment need nobody who follows what they map, and have the same stacks each time they run.
 */
#ifndef EBTOP_USER_STACK_H
#define EBTOP_USER_STACK_H

#include "cpython.h"
#include "mapped_file.h"
#include "stack.h"

#define UNWIND_TABLES 2048
#define UNWIND_MAPPINGS 1024	/* user space says how many */
#define UNWIND_PROCESSES 4096
#define UNWIND_FILES 1024
#define STRANGERS 1024
/* What was sampled so often, and over so long, is worth having its mappings told. */
#define SAMPLES_OF_A_STRANGER 32
#define STRANGE_NS 300000000ULL
#define RULE_CACHE_BITS 13
#define RULES_CACHED (1 << RULE_CACHE_BITS)
#define WINDOW_BYTES 1024

#define FRAMES_A_ROUND 8
#define ROUNDS 16		/* 33 tail calls are allowed at most */
#define CALLS_ASKING 29		/* with those to `unwind_file`, */
#define CALLS_WITH_PYTHON 21	/* where Python functions are walked after it */
#define MAPPING_STEPS 13	/* of a binary search among all of one process */
#define ROW_STEPS 12		/* among all rows of a page of code */
#define PAGE_SHIFT 12

#define RAW_CHUNK 1024
#define RAW_CHUNKS 16
#define COMPAT_CODE 0x23	/* __USER32_CS: the selector of 32-bit code */
#define SYSCALL_OPCODE 0x050f

/*
 * Registers of user mode, in the order in which the kernel saves them: struct pt_regs, which is part of its interface
 * for user space. In the place of orig_ax, which is none, stands a copy of the stack pointer, so that the sixteen of
 * DWARF are the first sixteen here.
 */
enum saved_register {
	R15, R14, R13, R12, RBP, RBX, R11, R10, R9, R8, RAX, RCX, RDX, RSI, RDI, RSP,
	SAVED_IP, SAVED_CS, SAVED_FLAGS, SAVED_RSP, SAVED_SS, REGISTERS,
};
/* Where the register with a number of DWARF is: four bits for each, the first ones lowest. */
#define PLACES 0x01236789f4ed5bcaULL
#define PLACE_OF(number) (PLACES >> ((number) * 4 & 63) & 15)

enum cfa_kind {
	CFA_GAP,		/* no information: hope for a frame pointer */
	CFA_REGISTER,		/* register + offset */
	CFA_DEREFERENCED,	/* *(register + offset) + offset2 */
	CFA_PLT,		/* of a PLT entry: from byte `offset` of its 16 on, 8 more are pushed */
	CFA_SIGNAL,		/* what rt_sigreturn(2) goes back to */
	CFA_STOP,		/* there is no caller */
	CFA_UNSUPPORTED,
	CFA_NOT_READ,		/* code that came since the table was made */
};

enum rbp_kind {
	RBP_UNCHANGED,
	RBP_FROM_CFA,		/* the caller's is at CFA + offset */
	RBP_FROM_RBP,
	RBP_FROM_RSP,
	RBP_LOST,
};

/* How to get from a frame to its caller's. The return address is at CFA - 8, or in a register: 1 + its number. */
struct unwind_rule {
	u8 cfa_kind;
	u8 cfa_register;
	u8 rbp_kind;
	u8 ra_kind;
	s32 cfa_offset;
	s32 cfa_offset2;
	s32 rbp_offset;
};
RECORD_LAYOUT(unwind_rule);

/* An executable mapping. An address less `bias` lies in page (address >> PAGE_SHIFT) of the table. */
struct unwind_mapping {
	u64 start;
	u64 end;
	u64 bias;
	u32 table;
	u32 unused;
};
enum { TABLE_MISSING, TABLE_NONE };	/* none: code without CFI, made at run time for example */

struct unwind_process {
	u64 mm;			/* struct mm_struct these mappings are of, filled in at the first walk */
	u32 first;		/* in unwind_mappings, ascending */
	u32 mappings;
	u32 generation;		/* never the same for other mappings */
	u32 unused;
};
RECORD_LAYOUT(unwind_process);

/* A file that may be mapped anywhere. Its bytes lie at offset + `address` of the table. */
struct unwind_file {
	u64 address;
	u32 table;
	u32 number;		/* never another file's */
};

/*
 * A place in a file, in a stack instead of an address: the file's number and the offset in bytes. Bit 62 is set, as in
 * no address: those of programs are below it, those of the kernel have bit 63.
 */
#define PLACE_IN_FILE (1ULL << 62)
#define PLACE_OFFSET_BITS 40

/* A process whose mappings nobody told, and how often it was sampled. */
struct stranger {
	u32 pid;
	u32 samples;
	u64 since;
};

/* Shared with user space. */
struct unwind_control {
	u32 epoch;		/* another one when a table came or went: what is cached is void */
	s32 credit;		/* stacks that may still be handed over */
};

/*
 * A rule that was looked up before: both halves of it, and their exclusive or with the hash of what it is for. When
 * two CPUs write at once, that is a hash of nothing.
 *
 * At the rate of a sampler all of this has left the CPU's caches since the last sample. So rules lie in the order in
 * which stacks needed them, which is nearly that of the next stack, and each knows the one that came after it: whoever
 * goes from frame to frame reads memory in a row.
 */
struct cached_rule {
	u64 check;
	u64 low;
	u64 high;
	u64 next;		/* the rule for the caller, last time */
};

struct walk {
	u64 registers[REGISTERS];
	u64 ip;
	u64 from;		/* where the kernel saved the registers; 0: nobody is there to take the stack */
	u64 rule_half[2];	/* struct unwind_rule, in the halves that tables hold */
	u64 window_at;		/* what `window` is a copy of */
	u64 salt;		/* of the cache's hash: other mappings or tables have another one */
	u32 cached;		/* where the rule of the last frame is in the cache */
	u32 first_mapping;
	u32 mappings;
	u32 interrupted;	/* the frame was interrupted at `ip` and made no call: all registers are its own */
	u32 after;		/* `ip` is one after an instruction that is still at work: a call */
	u32 first_after;
	u32 rounds;
	u32 end;		/* known before the first step */
	u64 bias;		/* of the mapping that was asked for last: what takes an address to the table's ... */
	u64 place;		/* ... and to a place in the file */
	u32 table;
	u32 asks;		/* which file is mapped where; otherwise the process's mappings are known */
	u32 calls;		/* that it may take */
	u32 met_python;		/* the file that holds it */
	u64 mapped[MAPPED_FILE_WORDS];
	u64 node[MAPLE_NODE_WORDS];
	u64 saved[17];		/* by a signal: r8..r15, di, si, bp, bx, dx, ax, cx, sp, ip */
	u64 window[WINDOW_BYTES / 8];	/* of the stack */
};

struct raw_stack {
	u64 hash;
	u64 time;
	u64 ip;
	u64 missed;		/* where in the code the walk ended for want of knowledge */
	u64 registers[REGISTERS];	/* enum saved_register */
	u32 pid;
	u32 tid;
	u32 after;
	u32 bytes;		/* of `stack`, whose first byte is at the registers' rsp, rounded down to RAW_CHUNK */
	u32 is_file;		/* what is mapped at `missed` is a file, which is: */
	u32 device;
	u64 inode;
	u64 file_bytes;
	u64 written;
	u64 written_ns;
	char stack[RAW_CHUNK * RAW_CHUNKS];
};
RECORD_LAYOUT(raw_stack);

/* Words of 8 bytes: a header, pages, rows, rules. See ebtop/unwind/table_map.py. */
BPF_F_TABLE("array", u32, u64, unwind_table, 1, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
BPF_ARRAY_OF_MAPS(unwind_tables, "unwind_table", UNWIND_TABLES);
BPF_F_TABLE("array", u32, u64, unwind_uses, UNWIND_TABLES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct unwind_mapping, unwind_mappings, UNWIND_MAPPINGS, BPF_F_MMAPABLE);
BPF_HASH(unwind_processes, u32, struct unwind_process, UNWIND_PROCESSES);
BPF_F_TABLE("array", u32, struct unwind_file, unwind_files, UNWIND_FILES, BPF_F_MMAPABLE);
BPF_HASH(unwind_file_numbers, struct file_key, u32, UNWIND_FILES);	/* in unwind_files */
BPF_ARRAY(unwind_strangers, struct stranger, STRANGERS);
BPF_F_TABLE("array", u32, struct unwind_control, unwind_control, 1, BPF_F_MMAPABLE);
BPF_ARRAY(unwind_cache, struct cached_rule, RULES_CACHED);
/* Where in the cache the rule with a hash may be; and, in one more, where the next new rule goes. */
BPF_ARRAY(unwind_cached, u64, RULES_CACHED + 1);
BPF_RINGBUF_OUTPUT(unwind_raw, 128);

BPF_PERCPU_ARRAY(walk_scratch, struct walk, 1);
/*
 * A jump to a slot is patched in one program after the other when the slot is filled. So there is one slot more that
 * the walk goes on by, which is filled before the one that it begins by.
 */
BPF_PROG_ARRAY(unwind_programs, 4);
enum { UNWIND_NATIVE, UNWIND_DONE, UNWIND_FILE, UNWIND_ON };

#define ASK_FOR_FILE 0x1000	/* no enum walk_end: the walk goes on once it is known which file that code is in */

static u64 (*current_task_btf)(void) = (void *)158;
static u64 (*task_pt_regs)(u64 task) = (void *)175;

inlined struct unwind_rule *rule_of(struct walk *walk)
{
	return (struct unwind_rule *)walk->rule_half;
}

inlined struct mapped_file *mapped_of(struct walk *walk)
{
	return (struct mapped_file *)walk->mapped;
}

inlined int table_word(void *table, u32 index, u64 *value)
{
	u64 *word = bpf_map_lookup_elem(table, &index);

	if (!word)
		return 0;
	*value = *word;
	return 1;
}

/* The rule that holds at `address` of a binary, into rule-> Returns whether the table could be read. */
inlined int read_rule(struct walk *walk, void *table, u64 address)
{
	u64 header = 0, page = 0, pair = 0;
	u32 key = (address & 0xffff) << 16 | 0xffff, number, pages, rows, row, count, half;

	if (!table_word(table, 0, &header))
		return 0;
	pages = header;
	number = address >> PAGE_SHIFT;
	if (address >> PAGE_SHIFT < pages && !table_word(table, 1 + number, &page))
		return 0;
	walk->rule_half[0] = CFA_GAP;
	walk->rule_half[1] = 0;
	row = page;
	count = page >> 32;
	if (!count)
		return 1;
	rows = 1 + pages;
	/* The last row that is not beyond the address; without branches, so that the verifier sees one way through. */
#pragma clang loop unroll(disable)
	for (int i = 0; i < ROW_STEPS; i++) {
		half = count >> 1;
		if (!half)
			break;
		if (!table_word(table, rows + (row + half >> 1), &pair))
			return 0;
		pair = pair >> ((row + half & 1) << 5) & 0xffffffff;
		row += half & (u32)((s64)(pair - key - 1) >> 63);
		count -= half;
	}
	if (!table_word(table, rows + (row >> 1), &pair))
		return 0;
	number = (pair >> ((row & 1) << 5) & 0xffff) << 1;
	number += header >> 32;
	return table_word(table, number, &walk->rule_half[0]) && table_word(table, number + 1, &walk->rule_half[1]);
}

/* Takes a rule out of the cache if it is the one for a hash. */
inlined int take_cached(struct walk *walk, struct cached_rule *cached, u64 hash)
{
	walk->rule_half[0] = cached->low;
	walk->rule_half[1] = cached->high;
	return (cached->check ^ walk->rule_half[0] ^ walk->rule_half[1]) == hash;
}

/* The table for code at `pc` by way of the process's mappings, into walk-> Returns an enum walk_end, 0 if found. */
inlined u32 find_table(struct walk *walk, u64 pc)
{
	u32 low = walk->first_mapping, count = walk->mappings, half, middle;
	struct unwind_mapping *mapping;

#pragma clang loop unroll(disable)
	for (int i = 0; i < MAPPING_STEPS; i++) {
		half = count >> 1;
		if (!half)
			break;
		middle = low + half;
		mapping = unwind_mappings.lookup(&middle);
		if (!mapping)
			return END_NO_MAPPING;
		low += half & (u32)((s64)(mapping->start - pc - 1) >> 63);
		count -= half;
	}
	mapping = unwind_mappings.lookup(&low);
	if (!mapping || !count || pc < mapping->start || pc >= mapping->end)
		return END_NO_MAPPING;
	walk->table = mapping->table;
	walk->bias = mapping->bias;
	return 0;
}

/* The rule for code at `pc`, into rule-> Returns an enum walk_end, 0 if found. */
inlined u32 search_rule(struct walk *walk, u64 pc)
{
	u32 id, end = 0;
	void *table;
	u64 *uses;

	if (!walk->asks)
		end = find_table(walk, pc);
	if (end)
		return end;
	id = walk->table;
	if (id == TABLE_MISSING)
		return END_NO_TABLE;
	if (id == TABLE_NONE) {
		walk->rule_half[0] = CFA_GAP;
		walk->rule_half[1] = 0;
		return 0;
	}
	table = unwind_tables.lookup(&id);
	if (!table || !read_rule(walk, table, pc - walk->bias))
		return END_NO_TABLE;
	uses = unwind_uses.lookup(&id);
	if (uses)
		*uses += 1;
	return 0;
}

/* Puts the rule that was found into the cache; returns where, and RULES_CACHED where that can't be. */
inlined u32 put_cached(struct walk *walk, u64 hash)
{
	u32 at_next = RULES_CACHED, where;
	u64 *next = unwind_cached.lookup(&at_next);
	struct cached_rule *cached;

	if (!next)
		return RULES_CACHED;
	where = *next & RULES_CACHED - 1;
	*next = where + 1;
	cached = unwind_cache.lookup(&where);
	if (!cached)
		return RULES_CACHED;
	cached->low = walk->rule_half[0];
	cached->high = walk->rule_half[1];
	cached->check = hash ^ walk->rule_half[0] ^ walk->rule_half[1];
	return where;
}

/* The rule for code at `pc`, into rule-> Returns an enum walk_end, 0 when there is one. */
inlined u32 find_rule(struct walk *walk, u64 pc)
{
	u64 place = walk->asks ? pc + walk->place : pc;
	u64 hash = (place ^ walk->salt) * 0x9E3779B97F4A7C15ULL, *at;
	u32 slot = hash >> (64 - RULE_CACHE_BITS), where, end;
	struct cached_rule *last = unwind_cache.lookup(&walk->cached), *cached;

	if (last) {
		where = last->next;
		cached = unwind_cache.lookup(&where);
		if (cached && take_cached(walk, cached, hash)) {
			walk->cached = where;
			return 0;
		}
	}
	at = unwind_cached.lookup(&slot);
	if (!at)
		return END_NO_TABLE;
	where = *at;
	cached = unwind_cache.lookup(&where);
	if (!cached || !take_cached(walk, cached, hash)) {
		end = search_rule(walk, pc);
		if (end)
			return end;
		*at = where = put_cached(walk, hash);
	}
	if (last)
		last->next = where;
	walk->cached = where;
	return 0;
}

/* By the frame pointer, where nothing better is known: code made at run time, Go, assembler. */
inlined u32 step_by_frame_pointer(struct walk *walk)
{
	u64 frame[2], rbp = walk->registers[RBP];

	if (!rbp)
		return END_BASE;
	if (rbp < walk->registers[RSP] || rbp & 7)
		return END_NO_INFORMATION;
	if (bpf_probe_read_user(frame, sizeof(frame), (void *)rbp))
		return END_NO_INFORMATION;
	if (!frame[1])
		return END_BASE;
	if (frame[1] < 1 << PAGE_SHIFT)
		return END_NO_INFORMATION;
	walk->registers[RBP] = frame[0];
	walk->registers[RSP] = rbp + sizeof(frame);
	walk->ip = frame[1];
	walk->interrupted = 0;
	walk->after = 1;
	return 0;
}

/* Out of a signal handler: the kernel put all registers on the stack, struct sigcontext in struct rt_sigframe. */
inlined u32 step_out_of_signal(struct walk *walk)
{
	u64 *saved = walk->saved;

	if (bpf_probe_read_user(saved, sizeof(walk->saved), (void *)(walk->registers[RSP] + 40)))
		return END_READ_FAULT;
	walk->registers[R8] = saved[0];
	walk->registers[R9] = saved[1];
	walk->registers[R10] = saved[2];
	walk->registers[R11] = saved[3];
	walk->registers[R12] = saved[4];
	walk->registers[R13] = saved[5];
	walk->registers[R14] = saved[6];
	walk->registers[R15] = saved[7];
	walk->registers[RDI] = saved[8];
	walk->registers[RSI] = saved[9];
	walk->registers[RBP] = saved[10];
	walk->registers[RBX] = saved[11];
	walk->registers[RDX] = saved[12];
	walk->registers[RAX] = saved[13];
	walk->registers[RCX] = saved[14];
	walk->registers[RSP] = saved[15];
	walk->ip = saved[16];
	walk->interrupted = 1;
	walk->after = 0;
	return walk->ip ? 0 : END_BAD_FRAME;
}

/*
 * A word of the stack. Read is what lies around it, too: the next frames are there, and lines of memory that are asked
 * for at once take hardly longer than one. Returns whether it could be read.
 */
inlined int read_stack(struct walk *walk, u64 address, u64 *value)
{
	u64 at = address & ~(WINDOW_BYTES - 1ULL);
	u32 word = (u32)address % WINDOW_BYTES / 8;

	if (address & 7)
		return !bpf_probe_read_user(value, sizeof(*value), (void *)address);
	if (walk->window_at != at) {
		walk->window_at = 0;
		if (bpf_probe_read_user(walk->window, WINDOW_BYTES, (void *)at))
			return 0;
		walk->window_at = at;
	}
	asm volatile("" : "+r"(word)); /* or the compiler leaves out the mask, which the verifier looks for */
	*value = walk->window[word & WINDOW_BYTES / 8 - 1];
	return 1;
}

inlined u32 step_by_rule(struct walk *walk, u64 pc)
{
	struct unwind_rule *rule = rule_of(walk);
	u64 cfa, ra = 0, rbp = walk->registers[RBP], rsp = walk->registers[RSP], at;
	u32 kind = rule->cfa_kind, base = PLACE_OF(rule->cfa_register), in = rule->ra_kind;

	if (kind == CFA_REGISTER || kind == CFA_DEREFERENCED) {
		cfa = walk->registers[base] + (s64)rule->cfa_offset;
		/* Of a caller only rbp and rsp are followed; assembler may have kept another one all the same. */
		if (base != RBP && base != RSP && !walk->interrupted && cfa - rsp > 1 << 16)
			return END_UNSUPPORTED;
		if (kind == CFA_DEREFERENCED) {
			if (bpf_probe_read_user(&cfa, sizeof(cfa), (void *)cfa))
				return END_READ_FAULT;
			cfa += (s64)rule->cfa_offset2;
		}
	} else if (kind == CFA_PLT) {
		cfa = rsp + 8 + ((pc & 15) >= (u64)(s64)rule->cfa_offset ? 8 : 0);
	} else {
		return END_UNSUPPORTED;
	}
	if (cfa < rsp || (cfa == rsp && !walk->interrupted))
		return END_BAD_FRAME;
	if (in) {
		if (!walk->interrupted)
			return END_UNSUPPORTED;
		ra = walk->registers[PLACE_OF(in - 1)];
	}
	if (rule->rbp_kind == RBP_LOST) {
		walk->registers[RBP] = 0;
	} else if (rule->rbp_kind) {
		at = rule->rbp_kind == RBP_FROM_CFA ? cfa : rule->rbp_kind == RBP_FROM_RBP ? rbp : rsp;
		at += (s64)rule->rbp_offset;
		if (!read_stack(walk, at, &walk->registers[RBP]))
			return END_READ_FAULT;
	}
	if (!in && !read_stack(walk, cfa - 8, &ra))
		return END_READ_FAULT;
	if (!ra)
		return END_BASE;
	walk->registers[RSP] = cfa;
	walk->ip = ra;
	walk->interrupted = 0;
	walk->after = 1;
	return 0;
}

/* To the caller of a frame, which is added to the stack. Returns an enum walk_end, 0 to go on. */
inlined u32 step(struct walk *walk, struct stack *stack)
{
	u64 pc = walk->ip - walk->after, depth = stack->depth;
	u32 end, kind;

	if (walk->asks) {
		if (pc < mapped_of(walk)->start || pc >= mapped_of(walk)->end)
			return ASK_FOR_FILE;
		depth -= 1;
		if (depth >= STACK_DEPTH)
			return END_TOO_DEEP;
		stack->address[depth] += walk->place;
	}
	end = find_rule(walk, pc);
	if (end)
		return end;
	kind = rule_of(walk)->cfa_kind;
	if (kind == CFA_STOP)
		return END_WHOLE;
	if (kind == CFA_NOT_READ)
		return END_NO_TABLE;
	if (kind == CFA_GAP)
		end = step_by_frame_pointer(walk);
	else if (kind == CFA_SIGNAL)
		end = step_out_of_signal(walk);
	else
		end = step_by_rule(walk, pc);
	if (end)
		return end;
	depth = stack->depth;
	if (depth >= STACK_DEPTH)
		return END_TOO_DEEP;
	/* Whoever names callers looks at the byte before, which for a frame that a signal interrupted is wrong. */
	stack->address[depth] = walk->ip + walk->interrupted;
	stack->depth = depth + 1;
	return 0;
}

/*
 * Which file is mapped where the walk has come to, and its table. In a program of its own, which is called back from:
 * with the search of the tree in each step, the verifier would have to follow too many ways.
 */
int unwind_file(void *ctx)
{
	int first = 0;
	struct walk *walk = walk_scratch.lookup(&first);
	struct mapped_file *mapped;
	struct unwind_file *file;
	u64 mm = 0;
	u32 *number;

	if (!walk)
		return 0;
	READ(task_struct, mm, &mm, bpf_get_current_task());
	mapped = mapped_of(walk);
	walk->end = END_NO_MAPPING;
	if (find_mapped_file(mm, walk->ip - walk->after, mapped, walk->node)) {
		walk->end = END_NO_TABLE;
		number = unwind_file_numbers.lookup(&mapped->key);
		file = number ? unwind_files.lookup(number) : 0;
		if (file) {
			walk->end = 0;
			walk->table = file->table;
			walk->bias = mapped->start - mapped->offset - file->address;
			walk->place = (PLACE_IN_FILE | (u64)file->number << PLACE_OFFSET_BITS) + mapped->offset - mapped->start;
			if (!walk->met_python && note_file_of_cpython(file->number, mapped->start - mapped->offset, mm)) {
				walk->met_python = 1;
				walk->calls = CALLS_WITH_PYTHON;
			}
		}
	}
	unwind_programs.call(ctx, UNWIND_ON);
	count(LOST_SCRATCH);
	return 0;
}

int unwind_native(void *ctx)
{
	int first = 0;
	struct walk *walk = walk_scratch.lookup(&first);
	struct stack *stack = stack_scratch.lookup(&first);
	u32 end = walk ? walk->end : 0;

	if (!walk || !stack)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < FRAMES_A_ROUND; i++) {
		if (end)
			break;
		end = step(walk, stack);
	}
	if (!end && ++walk->rounds < walk->calls) {
		unwind_programs.call(ctx, UNWIND_ON);
		count(LOST_SCRATCH);
		return 0;
	}
	if (end == ASK_FOR_FILE) {
		walk->rounds += 2;
		if (walk->rounds < walk->calls)
			unwind_programs.call(ctx, UNWIND_FILE);
		end = END_NO_PROCESS;
	}
	if (!end)	/* no call is left */
		end = walk->asks ? END_NO_PROCESS : END_TOO_DEEP;
	stack->cut = end;
	unwind_programs.call(ctx, UNWIND_DONE);
	count(LOST_SCRATCH);
	return 0;
}

/* Where the registers of user mode are, of a task that is in the kernel. */
inlined u64 saved_registers(u64 task)
{
	u64 stack = 0;

	if (HAS_ENUM(bpf_func_id, BPF_FUNC_task_pt_regs))
		return task_pt_regs(current_task_btf());
	READ(task_struct, stack, &stack, task);
	return stack + CONSTANT(unwind, kernel_stack_bytes) - REGISTERS * sizeof(u64);
}

/* Whether they could be read, and are those of user mode. */
inlined int read_registers(u64 from, u64 *registers)
{
	if (bpf_probe_read_kernel(registers, REGISTERS * sizeof(u64), (void *)(from + OFFSET(pt_regs, r15))))
		return 0;
	return (registers[SAVED_CS] & USER_MODE) == USER_MODE;
}

/* Whether this process is better not told to user space: it may end in a moment. */
inlined int is_stranger(void)
{
	u32 pid = current_tgid(), slot = pid % STRANGERS;
	struct stranger *stranger = unwind_strangers.lookup(&slot);

	if (!stranger)
		return 1;
	if (stranger->pid != pid) {
		stranger->pid = pid;
		stranger->samples = 0;
		stranger->since = bpf_ktime_get_ns();
	}
	stranger->samples++;
	if (stranger->samples < SAMPLES_OF_A_STRANGER || bpf_ktime_get_ns() - stranger->since < STRANGE_NS)
		return 1;
	stranger->samples = 0;
	return 0;
}

/* Whether the kernel can be asked which files the current process has mapped, and that is enough. */
inlined int ask_for_files(struct walk *walk)
{
	u32 pid = current_tgid();
	int first = 0;
	struct unwind_control *control = unwind_control.lookup(&first);

	if (!has_mapping_tree() || !CONSTANT(unwind, ask_for_files) || !control || !is_stranger())
		return 0;
	walk->asks = 1;
	walk->met_python = 0;
	walk->calls = cpython_processes.lookup(&pid) ? CALLS_WITH_PYTHON : CALLS_ASKING;
	mapped_of(walk)->end = 0;
	walk->cached = ~0;
	walk->salt = (u64)control->epoch * 0xD1B54A32D192ED03ULL; /* no process's generation is 0 */
	return 1;
}

/* Whether user space has told the mappings of the current process; takes them. */
inlined int take_process(struct walk *walk, u64 mm)
{
	u32 pid = current_tgid();
	int first = 0;
	struct unwind_process *process = unwind_processes.lookup(&pid);
	struct unwind_control *control = unwind_control.lookup(&first);

	if (!process || !control)
		return 0;
	if (!process->mm)
		process->mm = mm;
	if (process->mm != mm)	/* it has executed another program since, or is another process of the same number */
		return 0;
	walk->calls = ROUNDS;
	walk->first_mapping = process->first;
	walk->mappings = process->mappings;
	walk->cached = ~0;
	walk->salt = ((u64)process->generation << 32 | control->epoch) * 0xD1B54A32D192ED03ULL;
	return 1;
}

/*
 * Begin the walk and go on with it in other programs. `registers` is where the ones that a perf event interrupted are,
 * or 0. Returns without having found a stack, or one by frame pointers.
 */
inlined void begin_walk(void *ctx, struct stack *stack, u64 registers)
{
	u64 task = bpf_get_current_task(), mm = 0, word = 0;
	int first = 0;
	struct walk *walk = walk_scratch.lookup(&first);
	u16 opcode = 0;

	stack->depth = 0;
	stack->cut = END_WHOLE;
	READ(task_struct, mm, &mm, task);
	if (!walk)
		return;
	walk->from = 0;
	if (!mm)	/* the kernel's own, or at its end: there is no user stack */
		return;
	walk->end = 0;
	walk->rounds = 0;
	walk->window_at = 0;
	walk->after = 0;
	walk->first_after = 0;
	walk->asks = 0;
	walk->calls = 0;
	walk->interrupted = 1;
	if (!registers || !read_registers(registers, walk->registers)) {
		registers = saved_registers(task);
		if (!read_registers(registers, walk->registers)) {
			stack->cut = END_NO_REGISTERS;
			return;
		}
		/* In a system call `ip` is after it, which may be after the end of a function. */
		bpf_probe_read_user(&opcode, sizeof(opcode), (void *)(walk->registers[SAVED_IP] - sizeof(opcode)));
		walk->after = walk->first_after = opcode == SYSCALL_OPCODE;
	}
	if ((u16)walk->registers[SAVED_CS] == COMPAT_CODE) {
		fill_stack(ctx, stack, BPF_F_USER_STACK);
		return;
	}
	walk->registers[RSP] = walk->registers[SAVED_RSP];
	if (READ_BITS(task_struct, in_execve, task) &&
	    bpf_probe_read_user(&word, sizeof(word), (void *)walk->registers[RSP]))
		return;		/* the old stack is gone, there is no new one yet */
	walk->ip = walk->registers[SAVED_IP];
	walk->from = registers;
	stack->address[0] = walk->ip;
	stack->depth = 1;
	if (!take_process(walk, mm) && !ask_for_files(walk))
		walk->end = END_NO_PROCESS;
	unwind_programs.call(ctx, UNWIND_NATIVE);
	fill_stack(ctx, stack, BPF_F_USER_STACK);
	walk->from = 0;
}

inlined void walk_user_stack(void *ctx, struct stack *stack)
{
	u64 registers = 0;

	READ(bpf_perf_event_data_kern, regs, &registers, ctx);
	begin_walk(ctx, stack, registers);
}

inlined void walk_user_stack_of_task(void *ctx, struct stack *stack)
{
	begin_walk(ctx, stack, 0);
}

inlined int wants_more(u32 end)
{
	return end == END_NO_PROCESS || end == END_NO_MAPPING || end == END_NO_TABLE;
}

/* Registers and stack to user space, where the walk ended for want of knowledge. Returns 0, or its hash. */
inlined u64 hand_over_stack(void *ctx, struct stack *stack)
{
	int first = 0;
	struct walk *walk = walk_scratch.lookup(&first);
	struct unwind_control *control = unwind_control.lookup(&first);
	struct raw_stack *raw = 0;
	struct file_key *file;
	u64 id = bpf_get_current_pid_tgid(), from;
	u32 end = stack->cut;

	if (!walk || !control || !walk->from || !wants_more(end))
		return 0;
	file = &mapped_of(walk)->key;
	if (control->credit > 0) {
		__sync_fetch_and_add(&control->credit, -1);
		raw = unwind_raw.ringbuf_reserve(sizeof(*raw));
	}
	if (!raw) {
		fill_stack(ctx, stack, BPF_F_USER_STACK);
		stack->cut = end | BY_FRAME_POINTERS;
		return 0;
	}
	raw->time = bpf_ktime_get_ns();
	raw->hash = ((raw->time ^ id << 32) * 0x9E3779B97F4A7C15ULL) | 1;
	raw->missed = walk->ip - walk->after;
	if (!read_registers(walk->from, raw->registers)) {
		unwind_raw.ringbuf_discard(raw, 0);
		return 0;
	}
	raw->ip = raw->registers[SAVED_IP];
	raw->pid = id >> 32;
	raw->tid = id;
	raw->after = walk->first_after;
	raw->bytes = 0;
	raw->is_file = walk->asks && end == END_NO_TABLE;
	raw->device = file->device;
	raw->inode = file->inode;
	raw->file_bytes = file->bytes;
	raw->written = file->written;
	raw->written_ns = file->written_ns;
	from = raw->registers[SAVED_RSP] & ~(RAW_CHUNK - 1ULL);
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < RAW_CHUNKS; i++) {
		if (bpf_probe_read_user(raw->stack + i * RAW_CHUNK, RAW_CHUNK, (void *)(from + i * RAW_CHUNK)))
			break;
		raw->bytes = (i + 1) * RAW_CHUNK;
	}
	id = raw->hash;
	/* Whoever walks it sleeps until there is one. */
	unwind_raw.ringbuf_submit(raw, 0);
	return id;
}

#endif
