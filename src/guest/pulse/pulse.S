# Pulse: a small PC program that is its own ROM, so that a machine runs with no BIOS and no download.
#
# It shows that a machine is alive (a clock, counters, a grid of memory pages that lights up where it writes) and
# that its memory is whole (each page is summed before it is rewritten: MEMORY OK or MEMORY BAD), on VGA text and on
# COM1, and answers keys from both. All that it knows lies in RAM at the addresses below: README.md is their table.
#
# The ROM's last 4 KiB are this file, linked at 0xff000; the 60 KiB before it are padding. The processor starts at
# 0xffff0 in real mode; the program enters 32-bit protected mode with flat segments and stays there. It sleeps (hlt)
# between timer ticks. Only the counter at `ticks` depends on time: loops, checksums and page contents follow from it
# and from the keys alone.

        .set MAGIC,       0x534c5550            # "PULS"
        .set BLOCK,       0x1000                # the table of README.md
        .set magic,       BLOCK + 0x00
        .set version,     BLOCK + 0x04
        .set ticks,       BLOCK + 0x08
        .set seconds,     BLOCK + 0x0c
        .set loops,       BLOCK + 0x10
        .set random,      BLOCK + 0x14
        .set page,        BLOCK + 0x18
        .set speed,       BLOCK + 0x1c
        .set checksum,    BLOCK + 0x20
        .set health,      BLOCK + 0x24
        .set rounds,      BLOCK + 0x28
        .set keys,        BLOCK + 0x2c
        .set line_length, BLOCK + 0x30
        .set worked,      BLOCK + 0x34          # ticks worked off: equal to ticks at rest
        .set subsecond,   BLOCK + 0x38
        .set queue_in,    BLOCK + 0x3c
        .set queue_out,   BLOCK + 0x40
        .set shift,       BLOCK + 0x44
        .set line,        BLOCK + 0x80          # 64 bytes
        .set queue,       BLOCK + 0x100         # 256 bytes, filled by interrupts, drained by the loop
        .set heat,        BLOCK + 0x200         # one byte a page
        .set sums,        BLOCK + 0x400         # one word a page
        .set IDT,         0x2000                # 256 gates of 8 bytes
        .set STACK,       0x4000
        .set WORK,        0x100000              # the working set
        .set PAGES,       256
        .set STRIDE,      97                    # odd, so that every page has its turn
        .set LINE_MAX,    60
        .set HZ,          100
        .set PIT_DIVISOR, 11932                 # 1193182 Hz / 100
        .set SEED,        0x2545f491
        .set SCREEN,      0xb8000
        .set COM1,        0x3f8

        .set WHITE,  0x0f
        .set GREY,   0x07
        .set GREEN,  0x0a
        .set RED,    0x4f
        .set CYAN,   0x0b

        .macro  outb8 port, value
        mov     $\value, %al
        out     %al, $\port
        .endm

        .macro  outd port, value
        mov     $\port, %dx
        mov     $\value, %al
        out     %al, %dx
        .endm

        .macro  print row, column, colour, text
        mov     $SCREEN + (\row * 80 + \column) * 2, %edi
        mov     $\colour, %ah
        mov     $\text, %esi
        call    put_text
        .endm

        .macro  number row, column, colour, address
        mov     $SCREEN + (\row * 80 + \column) * 2, %edi
        mov     $\colour, %ch
        mov     \address, %eax
        call    put_decimal
        .endm

        .text
# ---- Tables ------------------------------------------------------------------------------------------------------
rom:
# Marked as used already: the processor would write the mark, and this is ROM, where KVM has the write tried again for ever.
gdt:    .quad   0
        .quad   0x00cf9b000000ffff              # 0x08: code, flat
        .quad   0x00cf93000000ffff              # 0x10: data, flat
gdt_register:
        .word   gdt_register - gdt - 1
        .long   gdt
idt_register:
        .word   256 * 8 - 1
        .long   IDT

# VGA text mode 80 x 25 as the hardware manuals give it: index port, count, values.
vga_registers:
        .word   0x3c4
        .byte   5, 0x03, 0x00, 0x03, 0x00, 0x02
        .word   0x3d4
        .byte   25
        .byte   0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00
        .byte   0x00, 0x00, 0x00, 0x9c, 0x0e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff
        .word   0x3ce
        .byte   9, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff
        .word   0
# The same for the font: plane 2 alone, at 0xa0000.
vga_font_on:
        .word   0x3c4
        .byte   5, 0x03, 0x00, 0x04, 0x00, 0x06
        .word   0x3ce
        .byte   7, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00
        .word   0
vga_attributes:
        .byte   0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f
        .byte   0x04, 0x00, 0x0f, 0x08, 0x00

# Scan codes of set 1 from 0x02 to 0x39: plain, then with shift; 0 is no character.
scan_plain:
        .ascii  "1234567890-=\b\0qwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 "
scan_shift:
        .ascii  "!@#$%^&*()_+\b\0QWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 "
        .set    SCAN_FIRST, 0x02
        .set    SCAN_COUNT, scan_shift - scan_plain

heat_colours:                                   # attribute by heat, coldest first
        .byte   0x08, 0x01, 0x09, 0x03, 0x0b, 0x0a, 0x0e, 0x0f

text_title:     .asciz "PULSE  a small machine that shows it is alive"
text_clock:     .asciz "up        s     ticks            loops            speed"
text_memory:    .asciz "MEMORY"
text_ok:        .asciz " OK "
text_bad:       .asciz " BAD"
text_wait:      .asciz " .. "
text_checked:   .asciz "checked           times   checksum"
text_grid:      .asciz "256 pages at 0x100000, lit where they were written last"
text_prompt:    .asciz "> "
text_help:      .asciz "+ faster   - slower   c clear   ? help on serial   other keys are kept"
serial_hello:   .asciz "PULSE\r\n"
serial_help:    .asciz "+ faster, - slower, c clear, ? help; other keys are kept in a line\r\n"
serial_up:      .asciz "up "
serial_loops:   .asciz " loops "
serial_sum:     .asciz " checksum "
serial_memory:  .asciz " MEMORY"
serial_end:     .asciz "\r\n"

# ---- Interrupts --------------------------------------------------------------------------------------------------
irq_timer:
        push    %eax
        incl    ticks
irq_end:
        outb8   0x20, 0x20
        pop     %eax

# As iret does, in steps: a kernel that works a guest's instructions off one by one (KVM where the processor does not run
# them itself) knows no iret in protected mode. Interrupts were on, or none had come; after sti they wait for one instruction.
irq_none:
        pushl   8(%esp)
        andl    $~0x200, (%esp)
        popf
        sti
        lret    $4

irq_keyboard:                                   # scan codes go into the queue as 0x100 + code would not fit:
        push    %eax                            # translated here, where the shift state is known
        push    %ebx
        xor     %eax, %eax
        in      $0x60, %al
        cmp     $0x2a, %al
        je      1f
        cmp     $0x36, %al
        je      1f
        cmp     $0xaa, %al
        je      2f
        cmp     $0xb6, %al
        je      2f
        sub     $SCAN_FIRST, %al
        cmp     $SCAN_COUNT, %al
        jae     4f
        mov     $scan_plain, %ebx
        cmpl    $0, shift
        je      3f
        mov     $scan_shift, %ebx
3:      mov     (%ebx,%eax), %al
        test    %al, %al
        jz      4f
        call    enqueue
        jmp     4f
1:      movl    $1, shift
        jmp     4f
2:      movl    $0, shift
4:      pop     %ebx
        jmp     irq_end

irq_serial:
        push    %eax
        push    %edx
        mov     $COM1 + 2, %edx
        in      %dx, %al
1:      mov     $COM1 + 5, %edx
        in      %dx, %al
        test    $1, %al
        jz      2f
        mov     $COM1, %edx
        in      %dx, %al
        call    enqueue
        jmp     1b
2:      pop     %edx
        jmp     irq_end

enqueue:                                        # al; a full queue drops it
        push    %ebx
        mov     queue_in, %ebx
        push    %ebx
        inc     %bl
        cmp     %bl, queue_out
        pop     %ebx
        je      1f
        mov     %al, queue(%ebx)
        incb    queue_in
1:      pop     %ebx
        ret

# ---- Start -------------------------------------------------------------------------------------------------------
        .code16
start16:
        cli
        cld
        in      $0x92, %al                      # address line 20
        or      $2, %al
        and     $0xfe, %al
        out     %al, $0x92
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   gdt_register - rom
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $0x08, $start32

        .code32
start32:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        mov     $STACK, %esp

        mov     $BLOCK, %edi                    # the table, the interrupt gates
        mov     $(STACK - BLOCK) / 4, %ecx
        xor     %eax, %eax
        rep stosl
        movl    $1, version
        movl    $SEED, random
        movl    $2, speed

        mov     $256, %ecx
        mov     $irq_none, %eax
        mov     $IDT, %edi
1:      call    gate
        loop    1b
        mov     $irq_timer, %eax
        mov     $IDT + 0x20 * 8, %edi
        call    gate
        mov     $irq_keyboard, %eax
        call    gate
        mov     $irq_serial, %eax
        mov     $IDT + 0x24 * 8, %edi
        call    gate
        lidt    idt_register

        outb8   0x20, 0x11                      # interrupt controllers at 0x20 and 0x28; timer, keyboard, COM1 open
        outb8   0xa0, 0x11
        outb8   0x21, 0x20
        outb8   0xa1, 0x28
        outb8   0x21, 0x04
        outb8   0xa1, 0x02
        outb8   0x21, 0x01
        outb8   0xa1, 0x01
        outb8   0x21, 0xec
        outb8   0xa1, 0xff

        outb8   0x43, 0x34                      # timer 0: rate generator, 100 Hz
        outb8   0x40, PIT_DIVISOR & 0xff
        outb8   0x40, PIT_DIVISOR >> 8

        outd    COM1 + 1, 0x00                  # COM1: 115200 8n1, FIFO, interrupt on input
        outd    COM1 + 3, 0x80
        outd    COM1 + 0, 0x01
        outd    COM1 + 1, 0x00
        outd    COM1 + 3, 0x03
        outd    COM1 + 2, 0x07
        outd    COM1 + 4, 0x0b
        outd    COM1 + 1, 0x01

        call    keyboard_wait                   # keyboard: interrupt on, scan codes of set 1, enabled
        outb8   0x64, 0x60
        call    keyboard_wait
        outb8   0x60, 0x41
        call    keyboard_wait
        outb8   0x64, 0xae
        call    keyboard_wait
        outb8   0x60, 0xf4
        mov     $0x1000, %ecx                   # its acknowledgement, when it comes
1:      in      $0x64, %al
        test    $1, %al
        loopz   1b
        in      $0x60, %al

        call    screen_start
        call    memory_start
        movl    $MAGIC, magic
        mov     $serial_hello, %esi
        call    serial_text
        sti

# ---- The loop ----------------------------------------------------------------------------------------------------
loop:
        cli
        mov     queue_out, %ebx                 # keys first
        cmp     queue_in, %ebx
        jne     key
        mov     ticks, %eax
        cmp     worked, %eax
        jne     tick
        sti                                     # the instruction after sti still runs without interrupts, so that
        hlt                                     # none is missed between the test and the sleep
        jmp     loop

key:    mov     queue(%ebx), %al
        incb    queue_out
        sti
        incl    keys
        call    answer
        call    draw_line
        jmp     loop

tick:   sti
        incl    subsecond
        mov     speed, %ecx
1:      push    %ecx
        call    work
        pop     %ecx
        loop    1b
        testl   $3, worked                      # cells cool down 25 times a second
        jnz     2f
        call    cool
2:      testl   $7, worked
        jnz     3f
        call    draw_numbers
3:      incl    worked
        cmpl    $HZ, subsecond
        jb      loop
        movl    $0, subsecond
        incl    seconds
        call    report
        jmp     loop

# One page: sum it, compare, fill it anew from the generator, remember its sum.
work:
        mov     page, %ebx
        mov     %ebx, %edi
        shl     $12, %edi
        add     $WORK, %edi
        mov     %edi, %esi
        xor     %edx, %edx
        mov     $1024, %ecx
1:      rol     $1, %edx
        add     (%esi), %edx
        add     $4, %esi
        dec     %ecx
        jnz     1b
        mov     sums(,%ebx,4), %eax
        cmp     %edx, %eax
        je      2f
        movl    $2, health
2:      sub     %eax, checksum
        mov     random, %eax
        xor     %edx, %edx
        mov     $1024, %ecx
3:      mov     %eax, %esi                      # xorshift32 (Marsaglia 2003): 13, 17, 5
        shl     $13, %esi
        xor     %esi, %eax
        mov     %eax, %esi
        shr     $17, %esi
        xor     %esi, %eax
        mov     %eax, %esi
        shl     $5, %esi
        xor     %esi, %eax
        mov     %eax, (%edi)
        add     $4, %edi
        rol     $1, %edx
        add     %eax, %edx
        dec     %ecx
        jnz     3b
        mov     %eax, random
        mov     %edx, sums(,%ebx,4)
        add     %edx, checksum
        movb    $7, heat(%ebx)
        call    draw_cell
        incl    loops
        mov     page, %ebx
        add     $STRIDE, %ebx
        and     $PAGES - 1, %ebx
        mov     %ebx, page
        jnz     4f
        incl    rounds
        cmpl    $0, health
        jne     4f
        movl    $1, health
4:      ret

memory_start:                                   # the working set holds zeros, and so do their sums
        mov     $WORK, %edi
        mov     $PAGES * 1024, %ecx
        xor     %eax, %eax
        rep stosl
        ret

answer:                                         # al
        cmp     $'+', %al
        je      answer_faster
        cmp     $'-', %al
        je      answer_slower
        cmp     $'c', %al
        je      answer_clear
        cmp     $'?', %al
        je      answer_help
        cmp     $' ', %al
        jb      1f
        cmp     $'~', %al
        ja      1f
        mov     line_length, %ebx
        cmp     $LINE_MAX, %ebx
        jae     1f
        mov     %al, line(%ebx)
        incl    line_length
        jmp     serial_byte
1:      ret
answer_faster:
        cmpl    $64, speed
        jae     1f
        shll    $1, speed
1:      jmp     draw_numbers
answer_slower:
        cmpl    $1, speed
        jbe     1f
        shrl    $1, speed
1:      jmp     draw_numbers
answer_clear:
        movl    $0, line_length
        mov     $line, %edi
        mov     $16, %ecx
        xor     %eax, %eax
        rep stosl
        ret
answer_help:
        mov     $serial_help, %esi
        jmp     serial_text

cool:
        xor     %ebx, %ebx
1:      cmpb    $1, heat(%ebx)                  # never quite cold once written
        jbe     2f
        decb    heat(%ebx)
        call    draw_cell
2:      inc     %ebx
        cmp     $PAGES, %ebx
        jb      1b
        ret

report:
        mov     $serial_up, %esi
        call    serial_text
        mov     seconds, %eax
        call    serial_decimal
        mov     $serial_loops, %esi
        call    serial_text
        mov     loops, %eax
        call    serial_decimal
        mov     $serial_sum, %esi
        call    serial_text
        mov     checksum, %ebx
        mov     $8, %ecx
1:      call    hex_digit
        call    serial_byte
        loop    1b
        mov     $serial_memory, %esi
        call    serial_text
        call    health_text
        call    serial_text
        mov     $serial_end, %esi
        jmp     serial_text

# ---- Screen ------------------------------------------------------------------------------------------------------
screen_start:
        outd    0x3c2, 0x67
        mov     $0x3d4, %edx                    # CRTC registers 0 to 7 are locked by bit 7 of 0x11
        mov     $0x0e11, %eax
        out     %ax, %dx
        mov     $vga_font_on, %esi
        call    vga_load
        mov     $font, %esi                     # glyphs of 7 rows, 5 pixels wide, into cells of 16 rows
        mov     $0xa0000 + 0x20 * 32 + 4, %edi
        mov     $0x40, %ebx
1:      mov     $7, %ecx
        push    %edi
2:      lodsb
        shl     $2, %al
        mov     %al, (%edi)
        mov     %al, 0x400(%edi)                # capitals stand in for the 32 characters after them
        inc     %edi
        loop    2b
        pop     %edi
        add     $32, %edi
        dec     %ebx
        jnz     1b
        mov     $0xa0000 + 0xdb * 32, %edi      # the full block of the grid
        mov     $0xfc, %al
        mov     $14, %ecx
        rep stosb
        mov     $vga_registers, %esi
        call    vga_load
        mov     $0x3da, %edx                    # attributes: the flip-flop of 0x3c0 starts over
        in      %dx, %al
        mov     $vga_attributes, %esi
        xor     %ebx, %ebx
        mov     $0x3c0, %edx
3:      mov     %bl, %al
        out     %al, %dx
        lodsb
        out     %al, %dx
        inc     %ebx
        cmp     $21, %ebx
        jb      3b
        mov     $0x20, %al
        out     %al, %dx
        outd    0x3c6, 0xff                     # palette: 64 colours, two bits each of red, green and blue
        outd    0x3c8, 0x00
        mov     $0x3c9, %edx
        xor     %ebx, %ebx
4:      mov     $2, %ecx
5:      xor     %eax, %eax
        bt      %ecx, %ebx
        jnc     6f
        mov     $42, %al
6:      push    %ecx
        add     $3, %ecx
        bt      %ecx, %ebx
        pop     %ecx
        jnc     7f
        add     $21, %al
7:      out     %al, %dx
        dec     %ecx
        jns     5b
        inc     %ebx
        cmp     $64, %ebx
        jb      4b
        mov     $0x3d4, %edx                    # no cursor
        mov     $0x200a, %eax
        out     %ax, %dx

        mov     $SCREEN, %edi
        mov     $80 * 25, %ecx
        mov     $GREY << 8 | 0x20, %eax
        rep stosw
        print   1, 8, WHITE, text_title
        print   3, 8, GREY, text_clock
        print   4, 8, GREY, text_memory
        print   4, 24, GREY, text_checked
        print   7, 8, GREY, text_grid
        print   15, 8, CYAN, text_prompt
        print   23, 8, GREY, text_help
        xor     %ebx, %ebx
8:      call    draw_cell
        inc     %ebx
        cmp     $PAGES, %ebx
        jb      8b

draw_numbers:
        number  3, 11, WHITE, seconds
        number  3, 30, WHITE, ticks
        number  3, 47, WHITE, loops
        number  3, 64, WHITE, speed
        number  4, 32, WHITE, rounds
        mov     $SCREEN + (4 * 80 + 59) * 2, %edi
        mov     checksum, %ebx
        mov     $8, %ecx
1:      call    hex_digit
        mov     $WHITE, %ah
        stosw
        loop    1b
        call    health_text
        mov     $SCREEN + (4 * 80 + 14) * 2, %edi
        jmp     put_text

draw_line:
        mov     $SCREEN + (15 * 80 + 10) * 2, %edi
        xor     %ebx, %ebx
        mov     $WHITE, %ah
1:      mov     $' ', %al
        cmp     line_length, %ebx
        jae     2f
        mov     line(%ebx), %al
2:      stosw
        inc     %ebx
        cmp     $LINE_MAX, %ebx
        jb      1b
        ret

draw_cell:                                      # ebx: page, 64 a row
        push    %edi
        mov     %ebx, %eax
        shr     $6, %eax
        imul    $160, %eax, %edi
        mov     %ebx, %eax
        and     $63, %eax
        lea     SCREEN + (9 * 80 + 8) * 2(%edi,%eax,2), %edi
        movzbl  heat(%ebx), %eax
        mov     heat_colours(%eax), %ah
        mov     $0xdb, %al
        cmp     %ax, (%edi)
        je      1f
        mov     %ax, (%edi)
1:      pop     %edi
        ret

health_text:                                    # esi: text, ah: colour
        mov     $text_wait, %esi
        mov     $GREY, %ah
        cmpl    $1, health
        jb      1f
        mov     $text_ok, %esi
        mov     $GREEN, %ah
        je      1f
        mov     $text_bad, %esi
        mov     $RED, %ah
1:      ret

vga_load:                                       # esi: a table as vga_registers
1:      xor     %eax, %eax
        lodsw
        test    %eax, %eax
        jz      3f
        mov     %eax, %edx
        lodsb
        mov     %al, %cl
        xor     %ebx, %ebx
2:      mov     %bl, %al
        mov     (%esi), %ah
        out     %ax, %dx
        inc     %esi
        inc     %ebx
        cmp     %cl, %bl
        jb      2b
        jmp     1b
3:      ret

put_text:                                       # esi: text, edi: where, ah: colour
        lodsb
        test    %al, %al
        jz      1f
        stosw
        jmp     put_text
1:      ret

put_decimal:                                    # eax, edi: where, ch: colour; nine columns, the number first
        call    decimal
        mov     %ch, %ah
        mov     $9, %cl
1:      lodsb
        test    %al, %al
        jnz     2f
        dec     %esi
        mov     $' ', %al
2:      stosw
        dec     %cl
        jnz     1b
        add     $16, %esp
        ret

# Digits of eax on the stack: esi points to them, a zero ends them. The caller drops 16 bytes.
decimal:
        pop     %esi                            # return address
        sub     $16, %esp
        push    %esi
        push    %ebx
        push    %edx
        lea     27(%esp), %esi
        movb    $0, (%esi)
        mov     $10, %ebx
1:      xor     %edx, %edx
        div     %ebx
        add     $'0', %dl
        dec     %esi
        mov     %dl, (%esi)
        test    %eax, %eax
        jnz     1b
        pop     %edx
        pop     %ebx
        ret

hex_digit:                                      # the highest digit of ebx into al, ebx turns
        rol     $4, %ebx
        mov     %bl, %al
        and     $15, %al
        add     $'0', %al
        cmp     $'9', %al
        jbe     1f
        add     $'a' - '0' - 10, %al
1:      ret

# ---- Serial and keyboard -----------------------------------------------------------------------------------------
serial_byte:                                    # al
        push    %edx
        push    %eax
        mov     $COM1 + 5, %edx
1:      in      %dx, %al
        test    $0x20, %al
        jz      1b
        pop     %eax
        mov     $COM1, %edx
        out     %al, %dx
        pop     %edx
        ret

serial_text:                                    # esi
        lodsb
        test    %al, %al
        jz      1f
        call    serial_byte
        jmp     serial_text
1:      ret

serial_decimal:                                 # eax
        call    decimal
        call    serial_text
        add     $16, %esp
        ret

keyboard_wait:                                  # until the controller takes a byte
        in      $0x64, %al
        test    $2, %al
        jnz     keyboard_wait
        ret

gate:                                           # eax: handler, edi: gate, which moves on
        mov     %ax, (%edi)
        movw    $0x08, 2(%edi)
        movw    $0x8e00, 4(%edi)
        push    %eax
        shr     $16, %eax
        mov     %ax, 6(%edi)
        pop     %eax
        add     $8, %edi
        ret

# ---- Font --------------------------------------------------------------------------------------------------------
        .include "font.S"

# ---- Reset -------------------------------------------------------------------------------------------------------
        .org    0xff0, 0xff
        .code16
        ljmp    $0xff00, $start16 - rom
        .org    0x1000, 0xff
