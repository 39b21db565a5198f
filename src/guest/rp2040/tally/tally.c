// Tally: a program for the RP2040 that needs no SDK, no boot ROM and no library. It counts by a timer interrupt, talks over
// UART0, moves memory by DMA, has a PIO program turn words over, writes memory hard on demand, and rings Vitrine's doorbell.
//
// All it knows lies in `struct tally` at 0x20000000, so that a test can say what RAM must hold; README.md lists the fields.
// It starts at its vector table at 0x10000000: an emulator does that, a real chip would want its second boot stage there.

typedef unsigned int u32;
typedef unsigned char u8;

#define REG(address) (*(volatile u32 *)(address))

#define RESETS_RESET 0x4000c000u
#define UART_DR 0x40034000u
#define UART_IBRD 0x40034024u
#define UART_FBRD 0x40034028u
#define UART_LCR_H 0x4003402cu
#define UART_CR 0x40034030u
#define UART_IMSC 0x40034038u
#define UART_FR 0x40034018u
#define UART_RECEIVED (1u << 4)
#define TIMER_ALARM0 0x40054010u
#define TIMER_RAWL 0x40054028u
#define TIMER_INTR 0x40054034u
#define TIMER_INTE 0x40054038u
#define DMA_READ 0x50000000u
#define DMA_WRITE 0x50000004u
#define DMA_COUNT 0x50000008u
#define DMA_CTRL 0x5000000cu
#define DMA_INTE0 0x50000404u
#define DMA_INTS0 0x5000040cu
#define PIO_CTRL 0x50200000u
#define PIO_FSTAT 0x50200004u
#define PIO_TXF0 0x50200010u
#define PIO_RXF0 0x50200020u
#define PIO_INSTR0 0x50200048u
#define PIO_EXECCTRL0 0x502000ccu
#define DIV_UDIVIDEND 0xd0000060u
#define DIV_UDIVISOR 0xd0000064u
#define DIV_QUOTIENT 0xd0000070u
#define DIV_REMAINDER 0xd0000074u
#define NVIC_ENABLE 0xe000e100u
#define DOORBELL 0x40070000u

#define IRQ_TIMER0 0
#define IRQ_DMA0 11
#define IRQ_UART0 20

#define TICK_MICROSECONDS 10000u
#define TICKS_PER_SECOND 100u
#define PAGES ((volatile u32 *)0x20010000u)
#define PAGE_COUNT 32u
#define PAGE_WORDS 1024u
#define LINE_BYTES 32u

// What is written to the doorbell, and what is read back: as a program reads what fork returned.
#define ASK_SAVE 's'
#define ASK_RESET 'r'
#define ANSWER_FIRST 's'
#define ANSWER_RESTORED 'r'
#define ANSWER_REFUSED 'n'

struct tally {
    u32 magic;
    volatile u32 ticks;
    volatile u32 seconds;
    u32 random;
    u32 pages_written;
    u32 next_page;
    volatile u32 writing;
    u32 faults;
    volatile u32 dma_done;
    u32 pio_words;
    volatile u32 keys;
    volatile u32 line_length;
    volatile u32 line_ready;
    u32 answer;
    u32 next_alarm;
    u32 spare;
    u8 line[LINE_BYTES];
    u32 sums[PAGE_COUNT];
};

static struct tally *const T = (struct tally *)0x20000000u;

static void put(char c) {
    REG(UART_DR) = (u8)c;
}

static void say(const char *text) {
    while (*text) put(*text++);
}

/** In decimal, by the chip's own divider. */
static void say_number(u32 value) {
    char digits[10];
    int count = 0;
    do {
        REG(DIV_UDIVIDEND) = value;
        REG(DIV_UDIVISOR) = 10;
        value = REG(DIV_QUOTIENT);
        digits[count++] = (char)('0' + REG(DIV_REMAINDER));
    } while (value);
    while (count) put(digits[--count]);
}

static void say_count(const char *name, u32 value) {
    say(name);
    put(' ');
    say_number(value);
}

static u32 random(void) {
    u32 x = T->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return T->random = x;
}

static u32 sum_of(u32 page) {
    const volatile u32 *at = PAGES + page * PAGE_WORDS;
    u32 sum = 0;
    for (u32 i = 0; i < PAGE_WORDS; i++) sum += at[i];
    return sum;
}

/** Checks a page against the sum that is remembered, fills it anew, remembers the new sum. */
static void write_page(void) {
    const u32 page = T->next_page;
    volatile u32 *at = PAGES + page * PAGE_WORDS;
    if (sum_of(page) != T->sums[page]) T->faults++;
    for (u32 i = 0; i < PAGE_WORDS; i++) at[i] = random();
    T->sums[page] = sum_of(page);
    T->next_page = (page + 7) & (PAGE_COUNT - 1);
    T->pages_written++;
}

/** Copies one page over the next one by DMA and waits for its interrupt. */
static void copy_page(void) {
    const u32 from = T->next_page;
    const u32 to = (from + 1) & (PAGE_COUNT - 1);
    const u32 done = T->dma_done;
    REG(DMA_READ) = (u32)(PAGES + from * PAGE_WORDS);
    REG(DMA_WRITE) = (u32)(PAGES + to * PAGE_WORDS);
    REG(DMA_COUNT) = PAGE_WORDS;
    // Enabled, words, both addresses go on, chained to itself, not paced.
    REG(DMA_CTRL) = 1u | 2u << 2 | 1u << 4 | 1u << 5 | 0u << 11 | 0x3fu << 15;
    while (T->dma_done == done) __asm volatile("wfi");
    T->sums[to] = T->sums[from];
    say(sum_of(to) == T->sums[from] ? "dma: copied\r\n" : "dma: wrong\r\n");
}

/** A word through the PIO program, which turns its bits over. */
static u32 turn_over(u32 word) {
    REG(PIO_TXF0) = word;
    while (REG(PIO_FSTAT) & 1u << 8) {
    }
    T->pio_words++;
    return REG(PIO_RXF0);
}

static void try_pio(void) {
    for (int i = 0; i < 16; i++) {
        const u32 word = random();
        if (turn_over(word) != ~word) {
            say("pio: wrong\r\n");
            return;
        }
    }
    say("pio: 16 words turned over\r\n");
}

static void ring(u32 ask) {
    REG(DOORBELL) = ask;
    // The very next thing after the write: in a restored machine it begins here.
    T->answer = REG(DOORBELL);
    say(T->answer == ANSWER_FIRST      ? "saved\r\n"
        : T->answer == ANSWER_RESTORED ? "restored\r\n"
        : T->answer == ANSWER_REFUSED  ? "refused\r\n"
                                       : "nobody serves the doorbell\r\n");
}

static void help(void) {
    say("c count  w write memory hard, on and off  m check memory  d copy by DMA  p PIO\r\n"
        "s save  r reset (as Vitrine's doorbell allows)  h help\r\n");
}

static void count(void) {
    say_count("ticks", T->ticks);
    say_count(", pages", T->pages_written);
    say_count(", keys", T->keys);
    say_count(", faults", T->faults);
    say("\r\n");
}

static void check(void) {
    u32 wrong = 0;
    for (u32 page = 0; page < PAGE_COUNT; page++) wrong += sum_of(page) != T->sums[page];
    T->faults += wrong;
    say(wrong ? "memory: wrong\r\n" : "memory: whole\r\n");
}

static void answer(void) {
    const u8 first = T->line_length ? T->line[0] : 0;
    if (T->line_length > 1) {
        say("you said: ");
        for (u32 i = 0; i < T->line_length; i++) put((char)T->line[i]);
        say("\r\n");
    } else if (first == 'c') count();
    else if (first == 'm') check();
    else if (first == 'd') copy_page();
    else if (first == 'p') try_pio();
    else if (first == 's') ring(ASK_SAVE);
    else if (first == 'r') ring(ASK_RESET);
    else if (first == 'w') {
        T->writing = !T->writing;
        say(T->writing ? "writing\r\n" : "resting\r\n");
    } else help();
    T->line_length = 0;
    T->line_ready = 0;
    say("> ");
    REG(UART_IMSC) = UART_RECEIVED;
}

static void on_timer(void) {
    REG(TIMER_INTR) = 1;
    T->next_alarm += TICK_MICROSECONDS;
    REG(TIMER_ALARM0) = T->next_alarm;
    T->ticks++;
    if (T->ticks == (T->seconds + 1) * TICKS_PER_SECOND) T->seconds++;
}

static void on_dma(void) {
    REG(DMA_INTS0) = 1;
    T->dma_done++;
}

static void on_uart(void) {
    while (!T->line_ready && !(REG(UART_FR) & 1u << 4)) {
        const u8 key = (u8)REG(UART_DR);
        T->keys++;
        if (key == '\r' || key == '\n') {
            say("\r\n");
            T->line_ready = 1;
            // What comes before this line is answered waits in the receiver.
            REG(UART_IMSC) = 0;
        } else if (key == 0x7f || key == '\b') {
            if (T->line_length) {
                T->line_length--;
                say("\b \b");
            }
        } else if (T->line_length < LINE_BYTES) {
            T->line[T->line_length++] = key;
            put((char)key);
        }
    }
}

static void start_devices(void) {
    REG(RESETS_RESET) = 0;
    REG(UART_IBRD) = 67;
    REG(UART_FBRD) = 52;
    REG(UART_LCR_H) = 0x70;
    REG(UART_CR) = 0x301;
    REG(UART_IMSC) = UART_RECEIVED;
    // pull block; mov isr, ~osr; push block
    REG(PIO_INSTR0) = 0x80a0;
    REG(PIO_INSTR0 + 4) = 0xa0cf;
    REG(PIO_INSTR0 + 8) = 0x8020;
    REG(PIO_EXECCTRL0) = 2u << 12;
    REG(PIO_CTRL) = 1;
    REG(DMA_INTE0) = 1;
    REG(TIMER_INTE) = 1;
    T->next_alarm = REG(TIMER_RAWL) + TICK_MICROSECONDS;
    REG(TIMER_ALARM0) = T->next_alarm;
    REG(NVIC_ENABLE) = 1u << IRQ_TIMER0 | 1u << IRQ_DMA0 | 1u << IRQ_UART0;
}

static void start(void) {
    u8 *byte = (u8 *)T;
    for (u32 i = 0; i < sizeof *T; i++) byte[i] = 0;
    T->random = 0x2545f491u;
    start_devices();
    say("Tally 1, on an RP2040. h for help.\r\n> ");
    T->magic = 0x594c4c54u;  // `TLLY`
    for (;;) {
        // A line that came just behind the look is found at the next tick.
        if (T->line_ready) answer();
        else if (T->writing) write_page();
        else __asm volatile("wfi");
    }
}

static void stop(void) {
    for (;;) {
    }
}

extern u32 stack_end[];

__attribute__((section(".vectors"), used)) static const void *const vectors[16 + 26] = {
    [0] = stack_end,
    [1] = (const void *)start,
    [2] = (const void *)stop,
    [3] = (const void *)stop,
    [16 + IRQ_TIMER0] = (const void *)on_timer,
    [16 + IRQ_DMA0] = (const void *)on_dma,
    [16 + IRQ_UART0] = (const void *)on_uart,
};
