{ No memory: an exception with SysUtils, run-time error 203 without, nil if that was asked for; and what was there stays. }
program Exhausted;
{$mode objfpc}{$H+}
uses
  BrainMM {$ifdef WITH_SYSUTILS}, SysUtils {$endif};

const
  MUCH = High(NativeInt) div 2;

var
  P, Q: Pointer;

begin
  ReturnNilIfGrowHeapFails := True;
  P := GetMem(100);
  PByte(P)[99] := 5;
  Q := P;
  if (GetMem(MUCH) <> nil) or (AllocMem(MUCH) <> nil) or (ReallocMem(Q, MUCH) <> nil) or (Q <> P) then
    Halt(1);
  RegetMem(Q, MUCH);
  if (Q <> P) or (PByte(P)[99] <> 5) then
    Halt(2);
  GetMemoryPages(Q, MUCH div 4096);
  if Q <> nil then
    Halt(3);
  ReturnNilIfGrowHeapFails := False;
  {$ifdef WITH_SYSUTILS}
  Q := P;
  try
    ReallocMem(Q, MUCH);
    Halt(4);
  except
    on EOutOfMemory do
      if (Q <> P) or (PByte(P)[99] <> 5) then
        Halt(5);
  end;
  try
    FreeMemoryBlock(Pointer(PByte(P) + 16));
    Halt(6);
  except
    on EInvalidPointer do
      WriteLn('caught');
  end;
  FreeMem(P);
  {$else}
  GetMem(P, MUCH);
  {$endif}
end.
