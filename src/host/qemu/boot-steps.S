# Boot steps: what an operating system of 64 bits asks of a processor on its way up, one step after another, in a ROM of its own. Each step
# that is done leaves its bit in a word, so that whoever looks sees how far the processor came, also when it began anew meanwhile.
# At the end it goes between user and kernel mode for ever and counts.
#
# Descriptors lie in RAM and are marked as used: a processor could not mark them in ROM. Linked at 0xf0000; boot-steps.ts has the ROM.

        .set STEPS,   0x900                     # a bit a step; then rounds of the end
        .set ROUNDS,  0x904
        .set ROM,     0xf0000
        .set STACK,   0x9000
        .set USER,    0xa000
        .set TABLES,  0x10000                   # three pages: 4 MiB where they are
        .set IDT,     0x20000
        .set TSS,     0x21000
        .set GDT,     0x22000

# ---- Real mode ---------------------------------------------------------------------------------------------------
        .code16
start:  cli
        cld
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %ss
        mov     $0x8000, %sp
        orl     $1, STEPS
        mov     $gdt, %si
        mov     $GDT >> 4, %ax
        mov     %ax, %es
        xor     %di, %di
        mov     $gdt_end - gdt, %cx
        rep movsb %cs:(%si), %es:(%di)
        lgdtl   %cs:gdt_register
        mov     %cr0, %eax
        and     $0x9ffffff3, %eax               # caches on, floating point not emulated
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $0x08, $ROM + start32

# ---- Protected mode ----------------------------------------------------------------------------------------------
        .code32
start32:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $STACK, %esp
        orl     $2, STEPS
        xor     %eax, %eax
        mov     $TABLES, %edi
        mov     $0x3000 / 4, %ecx
        rep stosl
        movl    $TABLES + 0x1007, TABLES
        movl    $TABLES + 0x2007, TABLES + 0x1000
        movl    $0x000087, TABLES + 0x2000
        movl    $0x200087, TABLES + 0x2008
        mov     $0x620, %eax                    # PAE, SSE
        mov     %eax, %cr4
        mov     $TABLES, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx               # EFER: long mode
        rdmsr
        or      $0x100, %eax
        wrmsr
        orl     $4, STEPS
        mov     %cr0, %eax
        or      $0x80010002, %eax               # paging, also the kernel's writes are checked
        mov     %eax, %cr0
        ljmpl   $0x18, $ROM + start64

# ---- Long mode ---------------------------------------------------------------------------------------------------
        .code64
start64:
        orl     $8, STEPS
        mov     $0x10, %eax
        mov     %eax, %ss
        mov     $STACK, %esp
        xor     %eax, %eax
        mov     $IDT, %edi
        mov     $0x2000 / 4, %ecx
        rep stosl
        mov     $IDT + 0x80 * 16, %edi
        movw    $called, (%rdi)
        movw    $0x18, 2(%rdi)
        movw    $0xee00, 4(%rdi)
        movw    $ROM >> 16, 6(%rdi)
        lidt    ROM + idt_register
        movl    $STACK, TSS + 4
        mov     $0x30, %eax
        ltr     %ax
        pushq   $0x23
        pushq   $USER
        pushq   $2
        pushq   $0x2b
        pushq   $ROM + user
        iretq

user:   orl     $16, STEPS
        mov     $0x77, %eax
        movd    %eax, %xmm0
again:  movd    %xmm0, %ebx
        int     $0x80
        jmp     again

called: cmp     $0x77, %ebx
        jne     1f
        orl     $32, STEPS
        incl    ROUNDS
1:      iretq

# ---- Tables ------------------------------------------------------------------------------------------------------
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff              # 0x08: code, 32 bits
        .quad   0x00cf93000000ffff              # 0x10: data
        .quad   0x00af9b000000ffff              # 0x18: code, 64 bits
        .quad   0x00cff3000000ffff              # 0x20: data, user
        .quad   0x00affb000000ffff              # 0x28: code, 64 bits, user
        .quad   0x0000890210000067              # 0x30: task state
        .quad   0
gdt_end:
gdt_register:
        .word   gdt_end - gdt - 1
        .long   GDT
idt_register:
        .word   0xfff
        .quad   IDT
