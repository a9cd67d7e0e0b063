/* Processor 0 changes the instruction at `site` by the steps in `steps`, again and again; the others pass the site, and
 * each checks its own passes against what is promised. See armprobe.verification.stress. */
typedef unsigned int u32;

enum { PROCESSORS = 4, MOST_STEPS = 256 };

/* A step of a protocol: the operations of armprobe.verification.patchmodel.vocabulary. `table.py` knows them, too. */
enum { END, STORE, DC, IC, DSB, IPI, WAIT_IPI, SAY, CLAIM };

struct step {
    u32 operation, address, value;
};

/* What is promised about passes that begin from now on; the rest of the word counts how often that changed. */
enum { NOTHING, HIT, NO_HIT, PROMISES = 4 };

/* How a pass went wrong. */
enum { FINE, DOUBLE_HIT, PROMISED_HIT, PROMISED_NO_HIT, DISPLACED, REGISTERS, FLAGS };

struct worker {
    u32 passes, hits, promised_hit, promised_no_hit, unpromised;
    u32 failures;
    u32 failure, before, after, delta; /* of the first pass that went wrong */
    u32 unused[6];
};

#define GICD 0x08000000u /* the interrupt controller (GICv2) of QEMU's virt machine: hw/arm/virt.c */
#define GICC 0x08010000u
#define REGISTER(address) (*(volatile u32 *)(address))
#define GICD_CTLR REGISTER(GICD + 0x000)
#define GICD_SGIR REGISTER(GICD + 0xf00)
#define GICC_CTLR REGISTER(GICC + 0x00)
#define GICC_PMR REGISTER(GICC + 0x04)
#define GICC_IAR REGISTER(GICC + 0x0c)
#define GICC_EOIR REGISTER(GICC + 0x10)
#define PSCI_CPU_ON 0x84000003u

enum { SYNCHRONIZE = 1, DONE = 2, SPURIOUS = 1020, RESTS_AFTER = 40, MOST_DELAY = 4096 };

void start(void);
u32 pass(u32 number, u32 displaced, u32 result[2]);
u32 call_psci(u32 function, u32 processor, void (*entry)(void), u32 context);
void finished(void);

/* What the host writes before it lets us run. */
volatile u32 toggles;
volatile u32 delay_seed = 1;
volatile u32 trap_site, trap_entry;
volatile u32 *volatile counters[PROCESSORS];
struct step steps[MOST_STEPS];

/* What it reads then. */
volatile struct worker workers[PROCESSORS];
volatile u32 done_toggles, bad_claims, unexpected_exceptions, awake_at_store[PROCESSORS];

static volatile u32 promise, finish, finished_workers[PROCESSORS];
static volatile u32 acknowledged[PROCESSORS], awake[PROCESSORS];
static volatile u32 requested;

static void barrier(void) { __asm__ volatile("dmb" ::: "memory"); }
static void wait_for_interrupt(void) { __asm__ volatile("dsb\n\twfi" ::: "memory"); }

static void interrupt(u32 targets, u32 number)
{
    __asm__ volatile("dsb" ::: "memory");
    GICD_SGIR = targets << 16 | number;
}

static void enable_interrupts(void)
{
    GICC_PMR = 0xff;
    GICC_CTLR = 1;
}

void on_interrupt(void)
{
    u32 me, number = GICC_IAR;

    __asm__ volatile("mrc p15, 0, %0, c0, c0, 5" : "=r"(me));
    me &= PROCESSORS - 1;
    acknowledged[me] = requested;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    GICC_EOIR = number;
    interrupt(1, DONE);
}

/* --- the workers */

static u32 check(volatile struct worker *own, u32 before, u32 after, u32 delta)
{
    if (delta > 1)
        return DOUBLE_HIT;
    if (before != after || before % PROMISES == NOTHING) {
        own->unpromised++;
        return FINE;
    }
    if (before % PROMISES == HIT) {
        own->promised_hit++;
        return delta == 1 ? FINE : PROMISED_HIT;
    }
    own->promised_no_hit++;
    return delta == 0 ? FINE : PROMISED_NO_HIT;
}

void worker(u32 me)
{
    volatile struct worker *own = &workers[me];
    volatile u32 *counter = counters[me];
    u32 rest = 0, heard = 0;

    enable_interrupts();
    awake[me] = 1;
    __asm__ volatile("cpsie i" ::: "memory");
    while (!finish) {
        u32 result[2], failure, displaced = own->passes * 0x01000193u;
        u32 before = promise, count;

        barrier();
        count = *counter;
        u32 after_site = pass(me, displaced, result);
        u32 delta = *counter - count;
        barrier();
        u32 after = promise;

        failure = check(own, before, after, delta);
        if (after_site != displaced + 1)
            failure = DISPLACED;
        else if (result[1])
            failure = REGISTERS;
        else if (result[0])
            failure = FLAGS;
        own->passes++;
        own->hits += delta;
        own->failures += failure != FINE;
        if (failure && !own->failure) {
            own->before = before;
            own->after = after;
            own->delta = delta;
            own->failure = failure;
        }
        /* Nobody hurries a host with fewer processors than we are: rest until the next change. */
        if (acknowledged[me] != heard) {
            heard = acknowledged[me];
            rest = 0;
        } else if (++rest >= RESTS_AFTER) {
            __asm__ volatile("cpsid i" ::: "memory");
            if (acknowledged[me] == heard) {
                awake[me] = 0;
                wait_for_interrupt(); /* wakes up for a masked interrupt too */
                awake[me] = 1;
            }
            __asm__ volatile("cpsie i" ::: "memory");
        }
    }
    barrier();
    finished_workers[me] = 1;
    for (;;)
        wait_for_interrupt();
}

/* --- the one who patches */

static void wait_for_all(void)
{
    for (;;) {
        u32 number, left = 0;

        for (u32 other = 1; other < PROCESSORS; other++)
            left |= acknowledged[other] != requested;
        if (!left)
            break;
        wait_for_interrupt(); /* interrupts are masked here: it is taken by hand */
        while (((number = GICC_IAR) & 0x3ff) < SPURIOUS)
            GICC_EOIR = number;
    }
    __asm__ volatile("isb" ::: "memory");
}

static void ask_all(void)
{
    requested++;
    interrupt((1 << PROCESSORS) - 2, SYNCHRONIZE);
}

/* What ICIMVAU does on a processor, for QEMU 7.2: there it does nothing, and a translation of the old word that began
 * before the store is put to use after it (accel/tcg/translate-all.c takes no lock before it reads the code). When every
 * processor has taken an interrupt, none is under way; to store the word again throws away what they made. TLBIALL, as
 * QEMU may have noted that the page holds no code. */
static void discard_translations(u32 address)
{
    ask_all();
    wait_for_all();
    __asm__ volatile("mcr p15, 0, %0, c8, c7, 0\n\tdsb\n\tisb" ::"r"(0) : "memory");
    *(volatile u32 *)address = *(volatile u32 *)address;
}

static void carry_out(const struct step *step)
{
    u32 address = step->address, value = step->value, running = 0;

    switch (step->operation) {
    case STORE:
        for (u32 other = 1; other < PROCESSORS; other++)
            running += awake[other];
        awake_at_store[running]++;
        *(volatile u32 *)address = value;
        break;
    case DC:
        __asm__ volatile("mcr p15, 0, %0, c7, c11, 1" ::"r"(address) : "memory"); /* DCCMVAU */
        break;
    case IC:
        __asm__ volatile("mcr p15, 0, %0, c7, c5, 1\n\t"     /* ICIMVAU */
                         "mcr p15, 0, %0, c7, c5, 7" ::"r"(address) : "memory"); /* BPIMVA */
        discard_translations(address);
        break;
    case DSB:
        __asm__ volatile("dsb" ::: "memory");
        break;
    case IPI:
        ask_all();
        break;
    case WAIT_IPI:
        wait_for_all();
        break;
    case SAY:
        if (promise % PROMISES != value) {
            barrier();
            promise = (promise / PROMISES + 1) * PROMISES + value;
            barrier();
        }
        break;
    case CLAIM:
        bad_claims += *(volatile u32 *)address != value;
        break;
    }
}

static u32 all_passes(void)
{
    u32 sum = 0;

    for (u32 other = 1; other < PROCESSORS; other++)
        sum += workers[other].passes;
    return sum;
}

/* Before each change another number of instructions, so that it finds the others at different places; and now and then
 * so many passes that one of them began and ended under the promise. */
static void delay(void)
{
    static u32 state;
    u32 passes = all_passes();

    state = (state ? state : delay_seed) * 1664525u + 1013904223u;
    for (u32 left = (state >> 8) % MOST_DELAY; left; left--)
        __asm__ volatile("");
    while (state >> 30 == 0 && all_passes() - passes < 2 * PROCESSORS)
        if (!(awake[1] | awake[2] | awake[3])) {
            ask_all();
            wait_for_all();
        }
}

void patcher(void)
{
    const struct step *step = steps;

    GICD_CTLR = 1;
    enable_interrupts();
    for (u32 other = 1; other < PROCESSORS; other++)
        call_psci(PSCI_CPU_ON, other, start, 0);
    for (u32 other = 1; other < PROCESSORS; other++)
        while (workers[other].passes == 0)
            ;
    while (done_toggles < toggles) {
        if (step->operation == END) {
            done_toggles++;
            step++;
            if (step->operation == END)
                step = steps;
            delay();
        } else {
            carry_out(step++);
        }
    }
    finish = 1;
    ask_all();
    for (u32 other = 1; other < PROCESSORS; other++)
        while (!finished_workers[other])
            ;
    finished();
    for (;;)
        ;
}

__attribute__((noinline)) void finished(void) { __asm__ volatile("dsb" ::: "memory"); }
