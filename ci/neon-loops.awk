# Reads `aarch64-linux-gnu-objdump -d --no-show-raw-insn --demangle=rust` of a program and looks at the
# innermost loops of every microkernel on NEON with whole vectors:
#
#   - each multiply-add takes a lane of A (`v0.s[1]`): no value is spread over a register of its own
#     (`dup`, `ld1r`),
#   - four values of k in a turn, MR·NRV multiply-adds for each, into as many registers,
#   - nothing goes to the stack, no register is copied. Of the kernels that copy operands on the way, once
#     for many tiles, those that do not keep to this are only counted.
#
# Says how many instructions the largest tiles take. Ends with 1 if something does not hold.

/^[0-9a-f]+ <.*tile::<.*Neon>, f(32|64), [0-9]+, [0-9]+, false, / {
    name = $0
    sub(/^.*Neon>, /, "", name)
    sub(/>>:$/, "", name)
    split(name, part, ", ")
    rows = part[2]; vectors = part[3]; by_rows = part[5]; copy = part[6]
    inside = 1; n = 0; loops = 0
    delete line; delete at
    next
}

inside && /^ +[0-9a-f]+:\t/ {
    address = $1
    sub(/:$/, "", address)
    line[n] = $0
    at[address] = n
    # A branch back within the function.
    if (($2 ~ /^(b\.|cbn?z|tbn?z)/ || $2 == "b") && match($0, /[0-9a-f]+ <[^>]*tile::</)) {
        target = substr($0, RSTART)
        sub(/ .*/, "", target)
        if (target in at) loop(at[target], n)
    }
    n++
    next
}

inside && /^$/ {
    inside = 0
    kernels++
    if (!loops) wrong("has no loop with all its multiply-adds")
}

function wrong(what) {
    print "tile " name ": " what
    failures++
}

function loop(from, to,    i, text, fmla, by_lane, spread, stack, copies, loads, registers, used) {
    delete used
    for (i = from; i <= to; i++) {
        text = line[i]
        if (i < to && text ~ /\t(b|b\.[a-z]+|cbn?z|tbn?z)\t/) return
        if (text ~ /\tfmla\t/) {
            fmla++
            if (text ~ /\.[sd]\[[0-3]\]/) by_lane++
            match(text, /v[0-9]+/)
            if (!(substr(text, RSTART, RLENGTH) in used)) registers++
            used[substr(text, RSTART, RLENGTH)] = 1
        }
        if (text ~ /\t(dup|ld1r)\t/) spread++
        if (text ~ /\[sp/) stack++
        if (text ~ /\tmov\tv/) copies++
        if (text ~ /\t(ldr|ldp|ldur|ld1)\t/) loads++
    }
    # The loop of what is left of k, one at a time, is not the hot one.
    if (fmla != 4 * rows * vectors) return
    loops++
    if (by_lane != fmla) wrong(fmla - by_lane " multiply-adds of " fmla " take no lane")
    if (spread) wrong(spread " values are spread over a register")
    if (copy == "false") {
        if (stack) wrong(stack " instructions use the stack")
        if (copies) wrong(copies " registers are copied")
        if (registers != rows * vectors) wrong(registers " accumulators of " rows * vectors)
    } else {
        copying++
        if (stack || copies) spilling++
    }
    total++
    if (rows * vectors == 24 && copy == "false") {
        printf "NEON %s, tile of %d rows and %d vectors, A by %s: %d accumulators, %d fmla of %d instructions in a turn, %d loads; %.3f instructions a multiply-add\n",
            part[1], rows, vectors, by_rows == "true" ? "rows" : "columns", registers, fmla, to - from + 1, loads,
            (to - from + 1) / fmla / (part[1] == "f32" ? 4 : 2)
    }
}

END {
    print "microkernels looked at: " kernels ", their loops: " total "; of " copying " that copy operands, " spilling + 0 " use the stack"
    # For each type 24 tiles, plain and copying in 4 ways, and 12 for few rows in 2.
    if (kernels < 240) { print "microkernels are missing: expected 240"; failures++ }
    exit failures > 0
}
