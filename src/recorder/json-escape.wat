;; The inside of a JSON string (RFC 8259 §7) from bytes, 16 at a time: what JavaScript does byte by byte. Memory
;; is this module's own; the one who calls copies bytes in and out (`json-escape.ts`).
;;
;;        0  i32  where the written bytes end
;;        4  i32  the last quote that was seen, as an offset in the input; below 0: before its begin
;;       64       the escapes of the bytes below a space, 8 bytes each: up to six of text, zeros, their number
;;     1024       a byte for each mark that a name can have, 1 where a suspected one has it (`field-watch.ts`)
;;     2048       input, up to 16 KiB and 16 bytes that are read and not looked at
;;    18944       output, up to six times as much
(module
  (memory (export "memory") 2)

  ;; Escapes the input in [at, to), and returns where it stopped: at `to`, or at a byte that needs a closer look.
  ;;   lengths  a bit for each length that a suspected name has, the highest for all above; 0: none is suspected
  ;;   hides    which escapes may hide a name: 0 none, 1 those of characters, 2 any; then a zero byte stops too
  ;;   wide     0x80 in each byte that is not known to be UTF-8: from there on it stops; 0 where it is
  (func (export "escape")
    (param $at i32) (param $to i32) (param $lengths i32) (param $hides i32) (param $wide i32) (result i32)
    (local $out i32)
    (local $quote i32)
    (local $bytes v128)
    (local $found i32)
    (local $byte i32)
    (local $length i32)
    (local $wides v128)
    (local.set $at (i32.add (local.get $at) (i32.const 2048)))
    (local.set $to (i32.add (local.get $to) (i32.const 2048)))
    (local.set $quote (i32.add (i32.load (i32.const 4)) (i32.const 2048)))
    (local.set $out (i32.const 18944))
    (local.set $wides (i32x4.splat (local.get $wide)))
    (block $stop
      (loop $next
        ;; Plain bytes, 16 at a time: written before it is known how many of them are.
        (loop $plain
          (br_if $stop (i32.ge_u (local.get $at) (local.get $to)))
          (local.set $bytes (v128.load (local.get $at)))
          (v128.store (local.get $out) (local.get $bytes))
          (local.set $found
            (i8x16.bitmask
              (v128.or
                (v128.or
                  (i8x16.eq (local.get $bytes) (v128.const i8x16 34 34 34 34 34 34 34 34 34 34 34 34 34 34 34 34))
                  (i8x16.eq (local.get $bytes) (v128.const i8x16 92 92 92 92 92 92 92 92 92 92 92 92 92 92 92 92)))
                (v128.or
                  (i8x16.lt_u (local.get $bytes) (v128.const i8x16 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32))
                  (v128.and (local.get $bytes) (local.get $wides))))))
          ;; What lies behind the end is none of it.
          (if (i32.lt_u (i32.sub (local.get $to) (local.get $at)) (i32.const 16))
            (then
              (local.set $found
                (i32.or (local.get $found)
                  (i32.shl (i32.const 1) (i32.sub (local.get $to) (local.get $at)))))))
          (if (i32.eqz (local.get $found))
            (then
              (local.set $at (i32.add (local.get $at) (i32.const 16)))
              (local.set $out (i32.add (local.get $out) (i32.const 16)))
              (br $plain))))
        (local.set $found (i32.ctz (local.get $found)))
        (local.set $at (i32.add (local.get $at) (local.get $found)))
        (local.set $out (i32.add (local.get $out) (local.get $found)))
        (br_if $stop (i32.ge_u (local.get $at) (local.get $to)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (if (i32.eq (local.get $byte) (i32.const 34))
          (then
            ;; Between two neighbouring quotes a name may stand.
            (local.set $length (i32.sub (i32.sub (local.get $at) (local.get $quote)) (i32.const 1)))
            (local.set $length
              (select (local.get $length) (i32.const 31) (i32.lt_u (local.get $length) (i32.const 31))))
            (if (i32.and (i32.shr_u (local.get $lengths) (local.get $length)) (i32.const 1))
              (then
                (br_if $stop (i32.lt_s (local.get $quote) (i32.const 2047)))
                (br_if $stop
                  (i32.load8_u offset=1024
                    (i32.and
                      (i32.xor
                        (i32.xor
                          (i32.mul (local.get $length) (i32.const 33))
                          (i32.and (i32.load8_u offset=1 (local.get $quote)) (i32.const 31)))
                        (i32.shl
                          (i32.and
                            (i32.load8_u (i32.sub (local.get $at) (i32.const 1)))
                            (i32.const 31))
                          (i32.const 5)))
                      (i32.const 1023))))))
            (local.set $quote (local.get $at))
            (i32.store16 (local.get $out) (i32.const 0x225c))
            (local.set $out (i32.add (local.get $out) (i32.const 2))))
          (else
            (br_if $stop (i32.ge_u (local.get $byte) (i32.const 0x80)))
            (if (i32.eq (local.get $byte) (i32.const 92))
              (then
                (if (local.get $hides)
                  (then
                    (br_if $stop (i32.eq (local.get $hides) (i32.const 2)))
                    (br_if $stop (i32.ge_u (i32.add (local.get $at) (i32.const 1)) (local.get $to)))
                    (br_if $stop
                      (i32.eq (i32.load8_u offset=1 (local.get $at)) (i32.const 0x75)))))
                (i32.store16 (local.get $out) (i32.const 0x5c5c))
                (local.set $out (i32.add (local.get $out) (i32.const 2))))
              (else
                (br_if $stop
                  (i32.and (i32.eqz (local.get $byte)) (i32.ne (local.get $hides) (i32.const 0))))
                (local.set $found (i32.add (i32.const 64) (i32.shl (local.get $byte) (i32.const 3))))
                (i64.store (local.get $out) (i64.load (local.get $found)))
                (local.set $out
                  (i32.add (local.get $out) (i32.load8_u offset=7 (local.get $found))))))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.store (i32.const 0) (i32.sub (local.get $out) (i32.const 18944)))
    (i32.store (i32.const 4) (i32.sub (local.get $quote) (i32.const 2048)))
    (i32.sub (local.get $at) (i32.const 2048))))
