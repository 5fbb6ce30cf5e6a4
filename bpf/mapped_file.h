/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which file is mapped at an address of the current process, read out of the kernel's own tree of mappings.
 *
 * Since Linux 6.1 that is a maple tree. It is read without its lock, as whoever samples may not wait: what changes
 * meanwhile gives an area that the address is not in, or a file that nobody knows. Both count as not found.
 */
#ifndef EBTOP_MAPPED_FILE_H
#define EBTOP_MAPPED_FILE_H

#define MAPLE_NODE_BYTES 256
#define MAPLE_NODE_WORDS (MAPLE_NODE_BYTES / 8)
#define MAPLE_LEVELS 5		/* of at least 8 areas each, where there are 65530 at most as a rule */
#define MAPLE_STEPS 5		/* of a binary search among the slots of a node, 16 at most */
#define AT_SYSINFO_EHDR 33	/* the vdso: the first entry of the auxiliary vector on x86-64 */
#define MAPLE_TYPE(entry) ((entry) >> 3 & 15)
#define IS_MAPLE_ROOT(entry) (((entry) & 3) == 2)	/* and no area, of which there is one then */

/* What tells a file from every other, and from itself as it was before somebody wrote into it. */
struct file_key {
	u64 inode;		/* 0: the vdso, which is the same for all that have one of this size */
	u64 bytes;
	u64 written;		/* seconds since 1970 */
	u32 written_ns;
	u32 device;		/* as the kernel has it: major << 20 | minor */
};

struct mapped_file {
	u64 start;		/* of the mapping */
	u64 end;
	u64 offset;		/* of `start`, in bytes of the file */
	struct file_key key;
};
#define MAPPED_FILE_WORDS 7

inlined int has_mapping_tree(void)
{
	return HAS(mm_struct, mm_mt) && HAS(maple_tree, ma_root) && HAS(maple_range_64, slot) &&
	       HAS(maple_arange_64, slot) && HAS(maple_metadata, end) && HAS_ENUM(maple_type, maple_leaf_64) &&
	       (HAS(inode, i_mtime_sec) || HAS(inode, __i_mtime) || HAS(inode, i_mtime));
}

/* A word of a node that was read. */
inlined u64 maple_word(u64 *node, u32 at)
{
	asm volatile("" : "+r"(at)); /* or the compiler leaves out the mask, which the verifier looks for */
	return node[at & MAPLE_NODE_WORDS - 1];
}

/* The struct vm_area_struct that the tree has for an address, 0 where there is none. `node` is room for a node. */
inlined u64 find_area(u64 mm, u64 address, u64 *node)
{
	u64 entry = 0, pivot, meta;
	u32 type, pivots, pivot_at, slot_at, meta_at, slot, count, half;

	READ(maple_tree, ma_root, &entry, mm + OFFSET(mm_struct, mm_mt));
	if (!IS_MAPLE_ROOT(entry))
		return 0;
#pragma clang loop unroll(disable)
	for (int level = 0; level < MAPLE_LEVELS; level++) {
		type = MAPLE_TYPE(entry);
		if (bpf_probe_read_kernel(node, MAPLE_NODE_BYTES, (void *)(entry & ~(MAPLE_NODE_BYTES - 1ULL))))
			return 0;
		if (type == ENUM(maple_type, maple_arange_64)) {
			pivot_at = OFFSET(maple_arange_64, pivot) / 8;
			slot_at = OFFSET(maple_arange_64, slot) / 8;
			meta_at = OFFSET(maple_arange_64, meta) / 8;
		} else {
			pivot_at = OFFSET(maple_range_64, pivot) / 8;
			slot_at = OFFSET(maple_range_64, slot) / 8;
			meta_at = OFFSET(maple_range_64, meta) / 8;
		}
		/* What lies behind the last pivot in use is anything; only a full node has no room to say which that is. */
		pivots = slot_at - pivot_at;
		meta = maple_word(node, meta_at) >> OFFSET(maple_metadata, end) * 8 & 0xff;
		count = 1 + (maple_word(node, pivot_at + pivots - 1) ? pivots : meta);
		/*
		 * A slot begins behind the pivot before it, and the last one ends at 2^64 - 1, hence the shifts. Without
		 * branches, so that the verifier sees one way through.
		 */
		slot = 0;
#pragma clang loop unroll(disable)
		for (int i = 0; i < MAPLE_STEPS; i++) {
			half = count >> 1;
			if (!half)
				break;
			pivot = maple_word(node, pivot_at + slot + half - 1) >> 1;
			slot += half & (u32)((s64)(pivot - (address >> 1)) >> 63);
			count -= half;
		}
		entry = maple_word(node, slot_at + slot);
		if (type != ENUM(maple_type, maple_range_64) && type != ENUM(maple_type, maple_arange_64))
			return type == ENUM(maple_type, maple_leaf_64) ? entry : 0;
	}
	return 0;
}

/* When a file was last written to; the name of that changed with Linux 6.6 and 6.11. */
inlined void read_written(u64 inode, struct file_key *key)
{
	struct {
		u64 seconds;
		u64 ns;
	} written = {};

	if (HAS(inode, i_mtime_sec)) {
		READ(inode, i_mtime_sec, &key->written, inode);
		READ(inode, i_mtime_nsec, &key->written_ns, inode);
		return;
	}
	if (HAS(inode, __i_mtime))
		READ(inode, __i_mtime, &written, inode);
	else
		READ(inode, i_mtime, &written, inode);
	key->written = written.seconds;
	key->written_ns = written.ns;
}

/* Where the kernel's own code for programs is mapped, as it tells them at their start; 0 = not known. */
inlined u64 vdso_of(u64 mm)
{
	struct {
		u64 type;
		u64 value;
	} first = {};

	if (HAS(mm_struct, saved_auxv))
		READ(mm_struct, saved_auxv, &first, mm);
	return first.type == AT_SYSINFO_EHDR ? first.value : 0;
}

/* The file that is mapped at an address, or (inode 0) the vdso; returns 0 where neither is. */
inlined int find_mapped_file(u64 mm, u64 address, struct mapped_file *found, u64 *node)
{
	u64 area = find_area(mm, address, node), file = 0, inode = 0, super_block = 0, page = 0;
	struct file_key vdso = {};

	if (!area || area & 3)
		return 0;
	READ(vm_area_struct, vm_start, &found->start, area);
	READ(vm_area_struct, vm_end, &found->end, area);
	if (address < found->start || address >= found->end)
		return 0;
	READ(vm_area_struct, vm_file, &file, area);
	if (!file) {
		vdso.bytes = found->end - found->start;
		found->key = vdso;
		found->offset = 0;
		return found->start == vdso_of(mm);
	}
	READ(vm_area_struct, vm_pgoff, &page, area);
	found->offset = page << 12;
	READ(file, f_inode, &inode, file);
	READ(inode, i_ino, &found->key.inode, inode);
	READ(inode, i_size, &found->key.bytes, inode);
	read_written(inode, &found->key);
	READ(inode, i_sb, &super_block, inode);
	READ(super_block, s_dev, &found->key.device, super_block);
	return 1;
}

#endif
