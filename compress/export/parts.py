"""Microcontrollers and FPGAs, and the memory that their makers' data sheets give them: on the chip, all of it, in bytes.

ram_bytes of a microcontroller: what the data sheet calls RAM, tightly coupled memory too, battery-backed RAM and caches not. Of
an FPGA: its block RAM, with the parity bits, which hold data too, and iCE40's single-port RAM. flash_bytes None: no flash is on
the chip; a microcontroller then runs from another one, which has room for any of these files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KIB = 1024
KBIT = KIB // 8  # bytes
BLOCK_36K = 36 * KBIT


@dataclass(frozen=True)
class Part:
    """source: the data sheet, and where in it."""

    name: str
    kind: Literal["microcontroller", "FPGA"]
    flash_bytes: int | None
    ram_bytes: int
    source: str


def _mcu(name: str, flash_kib: int | None, ram_kib: int, source: str) -> Part:
    return Part(name, "microcontroller", flash_kib * KIB if flash_kib is not None else None, ram_kib * KIB, source)


def _fpga(name: str, ram_bytes: int, source: str) -> Part:
    return Part(name, "FPGA", None, ram_bytes, source)


PARTS = (
    _mcu("STM32F407VG", 1024, 192, "ST DS8626, features"),
    _mcu("STM32F746NG", 1024, 320, "ST DS10916, features"),
    _mcu("STM32H743ZI", 2048, 192 + 864, "ST DS12110, features"),
    _mcu("STM32H7A3ZI", 2048, 192 + 1024 + 128 + 32, "ST DS13195, features"),
    _mcu("STM32U5A5ZJ", 4096, 2512, "ST DS13543, features"),
    _mcu("i.MX RT1062", None, 1024, "NXP IMXRT1060CEC, features"),
    _mcu("i.MX RT1176", None, 2048, "NXP IMXRT1170CEC, features"),
    _mcu("RP2040", None, 264, "RP2040 data sheet, section 2.6.2"),
    _mcu("RP2350A", None, 520, "RP2350 data sheet, section 4.2"),
    _mcu("ESP32-S3", None, 512, "ESP32-S3 data sheet, features"),
    _mcu("nRF52840", 1024, 256, "nRF52840 specification, features"),
    _mcu("nRF5340, application", 1024, 512, "nRF5340 specification, features"),
    _mcu("MAX78000, CPU alone", 512, 128, "MAX78000 data sheet, features"),
    _fpga("Zynq XC7Z020", 140 * BLOCK_36K, "AMD DS190, table 1"),
    _fpga("Spartan-7 XC7S50", 75 * BLOCK_36K, "AMD DS180, Spartan-7 summary"),
    _fpga("Artix-7 XC7A35T", 50 * BLOCK_36K, "AMD DS180, Artix-7 summary"),
    _fpga("Artix-7 XC7A100T", 135 * BLOCK_36K, "AMD DS180, Artix-7 summary"),
    _fpga("Kintex-7 XC7K325T", 445 * BLOCK_36K, "AMD DS180, Kintex-7 summary"),
    _fpga("Virtex-7 XC7VX690T", 1470 * BLOCK_36K, "AMD DS180, Virtex-7 summary"),
    _fpga("Zynq UltraScale+ XCZU3EG", 216 * BLOCK_36K, "AMD DS891, table 3"),
    _fpga("Kintex UltraScale XCKU040", 600 * BLOCK_36K, "AMD DS890, Kintex summary"),
    _fpga("iCE40 UltraPlus UP5K", (30 * 4 + 4 * 256) * KBIT, "FPGA-DS-02008, selection guide"),
    _fpga("ECP5 LFE5U-85", 208 * 18 * KBIT, "FPGA-DS-02012, selection guide"),
)
