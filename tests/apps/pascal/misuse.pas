{ What the debugger is for: one misuse, by name. }
program Misuse;
{$mode objfpc}{$H+}
uses
  BrainMM, SysUtils;

procedure FreeTwice;
var
  P: Pointer;
begin
  P := GetMem(100); { allocated }
  FreeMem(P); { freed }
  FreeMem(P); { detected }
end;

procedure Overrun;
var
  Numbers: array of LongInt;
  I: Integer;
begin
  SetLength(Numbers, 10); { array }
  {$R-}
  for I := 0 to 10 do
    Numbers[I] := $41414141;
end; { noticed }

begin
  if ParamStr(1) = 'twice' then
    FreeTwice;
  if ParamStr(1) = 'overrun' then
    Overrun;
  WriteLn('lived on');
end.
