# `vitrine save` and `vitrine reset` for the Linux guest: rings the doorbell at I/O port 0x5674 and prints what it reads back.
#
#   saved       first return: the machine was saved, and goes on        exit code 0
#   restored    the machine was put back to the instant of the save     exit code 0
#   refused     the host does not want to, or not so often              exit code 3
#   nobody      no host serves the doorbell                             exit code 4
#
# Static, no library. Between the `out` and the `in` no other instruction of it is run.

        .intel_syntax noprefix
        .globl _start
        .set PORT, 0x5674
        .set SYS_EXIT, 1
        .set SYS_WRITE, 4
        .set SYS_IOPL, 110

        .text
saved:  .ascii  "saved\n"
        .set    saved_length, . - saved
restored: .ascii "restored\n"
        .set    restored_length, . - restored
refused: .ascii "refused\n"
        .set    refused_length, . - refused
nobody: .ascii  "nobody\n"
        .set    nobody_length, . - nobody
root:   .ascii  "vitrine: needs root\n"
        .set    root_length, . - root
help:   .ascii  "usage: vitrine save | vitrine reset\n"
        .set    help_length, . - help

_start: pop     eax                     # arguments, with the program's own name
        cmp     eax, 2
        jne     usage
        pop     esi
        pop     esi
        mov     esi, [esi]
        cmp     esi, 0x65766173         # save
        je      ask
        cmp     esi, 0x65736572         # rese
        jne     usage
ask:    mov     eax, SYS_IOPL
        mov     ebx, 3
        int     0x80
        test    eax, eax
        jnz     denied
        mov     edx, PORT
        mov     eax, esi
        out     dx, al                  # the low byte is the word
        in      al, dx
        movzx   eax, al
        xor     edi, edi
        cmp     al, 's'
        je      first
        cmp     al, 'r'
        je      back
        cmp     al, 'n'
        je      refuse
        mov     edi, 4
        mov     ecx, offset nobody
        mov     edx, nobody_length
        jmp     say
first:  mov     ecx, offset saved
        mov     edx, saved_length
        jmp     say
back:   mov     ecx, offset restored
        mov     edx, restored_length
        jmp     say
refuse: mov     edi, 3
        mov     ecx, offset refused
        mov     edx, refused_length
say:    mov     ebx, 1
        jmp     end
denied: mov     edi, 1
        mov     ecx, offset root
        mov     edx, root_length
        mov     ebx, 2
        jmp     end
usage:  mov     edi, 2
        mov     ecx, offset help
        mov     edx, help_length
        mov     ebx, 2
end:    mov     eax, SYS_WRITE
        int     0x80
        mov     eax, SYS_EXIT
        mov     ebx, edi
        int     0x80
