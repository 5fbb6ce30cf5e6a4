/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up image service: burns CPU in functions with names, some of it in the kernel. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PART __attribute__((noinline, noclone))

static volatile uint64_t sink;
static unsigned char buffer[256 << 10];

/* Rest four times as long as was worked: a fifth of a CPU, whatever the CPU. */
static void rest(clock_t worked)
{
	long us = worked * (1000000 / CLOCKS_PER_SEC) * 4;
	struct timespec time = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&time, 0);
}

/* Something on the stack: gcc gives a leaf function without it no frame, and whoever walks misses its caller. */
static inline void burn(int n)
{
	volatile uint64_t kept[2];
	uint64_t value = kept[0] = sink;

	for (int i = 0; i < n * 1000; i++)
		value = value * 6364136223846793005ULL + 1442695040888963407ULL;
	sink = value;
}

PART static void sha256_block(void) { burn(60); }
PART static void verify_signature(void) { for (int i = 0; i < 4; i++) sha256_block(); burn(5); }
PART static void authenticate(void) { verify_signature(); burn(8); }

PART static void huffman_decode(void) { burn(220); }
PART static void idct_8x8(void) { burn(140); }
PART static void decode_jpeg(void) { huffman_decode(); idct_8x8(); burn(25); }

PART static void lanczos_row(void) { burn(400); }
PART static void gamma_correct(void) { burn(70); }
PART static void resize(void) { lanczos_row(); gamma_correct(); burn(20); }

PART static void fdct_8x8(void) { burn(90); }
PART static void write_bits(void) { burn(60); }
PART static void encode_webp(void) { fdct_8x8(); write_bits(); burn(15); }

PART static void load_source(int zero) { for (int i = 0; i < 60; i++) sink += (uint64_t)read(zero, buffer, sizeof(buffer)); }

PART static void log_request(int null) { for (int i = 0; i < 400; i++) sink += (uint64_t)write(null, buffer, 512); }

PART static void handle_request(int zero, int null)
{
	authenticate();
	load_source(zero);
	decode_jpeg();
	resize();
	encode_webp();
	log_request(null);
}

PART static void serve(int zero, int null)
{
	for (;;) {
		clock_t began = clock();

		handle_request(zero, null);
		rest(clock() - began);
	}
}

int main(void)
{
	prctl(PR_SET_NAME, "img-service");
	serve(open("/dev/zero", O_RDONLY), open("/dev/null", O_WRONLY));
	return 0;
}
