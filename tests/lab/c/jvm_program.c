/* A program on top of jvm_tables.c: prints where each of its methods and stubs is, then does what it is told. */
#include <stdio.h>

struct method;
void start(void);
struct method *method(const char *class_name, const char *name);
char *add(int heap, const char *name, struct method *compiled, int code_size);
void replace(char *code, struct method *other);

int main(void)
{
	int command;

	if (getchar() == EOF)
		return 1;
	start();
	add(0, "StubRoutines (1)", 0, 100000 / 4);
	char *interpreter = add(0, "Interpreter", 0, 64000 / 4);
	char *run = add(0, "nmethod", method("org/shop/Cart$Item", "total"), 700);
	char *hidden = add(0, "nmethod", method("Shop$$Lambda+0x00007f22640", "run"), 90);
	char *native = add(0, "native nmethod", method("java/lang/Object", "hashCode"), 200);
	char *adapter = add(0, "I2C/C2I adapters", 0, 130);
	printf("%p %p %p %p %p\n", interpreter, run, hidden, native, adapter);
	fflush(stdout);
	while ((command = getchar()) != EOF) {
		if (command == 'r')
			replace(run, method("org/shop/Other", "method"));
		else if (command == 'f')
			replace(run, 0);
		else if (command == 'n')
			printf("%p ", add(0, "nmethod", method("org/shop/New", "one"), 300));
		else
			continue;
		puts("done");
		fflush(stdout);
	}
	return 0;
}
