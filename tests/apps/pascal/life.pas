{ What Pascal programs live on: strings, dynamic arrays, objects, interfaces, variants, exceptions, threads. Everything is given
  back; the last line is a sum that depends on all contents, the same under every memory manager. }
program Life;
{$mode objfpc}{$H+}
uses
  {$ifdef WITH_BRAINMM} BrainMM, {$endif} cthreads, SysUtils, Classes, Variants;

var
  Sum: QWord = 0;

procedure Count(Value: QWord);
begin
  Sum := (Sum xor Value) * 1099511628211;
end;

procedure CountText(const Text: string);
var
  C: Char;
begin
  for C in Text do
    Count(Ord(C));
end;

{ ---- strings and arrays ---- }

procedure Strings(Rounds: Integer; Seed: LongWord);
var
  Texts: array of string;
  Wide: UnicodeString;
  I, At: Integer;
begin
  SetLength(Texts, 200);
  for I := 1 to Rounds do
  begin
    Seed := Seed * 1664525 + 1013904223;
    At := (Seed shr 8) mod 200;
    case (Seed shr 20) mod 5 of
      0: Texts[At] := Texts[At] + IntToStr(Seed);
      1: SetLength(Texts[At], (Seed shr 24) * 37);
      2: Texts[At] := Texts[(At + 7) mod 200];
      3: Delete(Texts[At], 1, 5);
      4: Texts[At] := '';
    end;
    if (Length(Texts[At]) > 0) and ((Seed shr 20) mod 5 = 1) then
      FillChar(Texts[At][1], Length(Texts[At]), At);
  end;
  for I := 0 to 199 do
    CountText(Texts[I]);
  Wide := UnicodeString(Copy(Texts[3], 1, 100)) + 'wide';
  CountText(string(Wide));
end;

procedure Arrays;
var
  Square: array of array of LongInt;
  Flat: array of Byte;
  I, J: Integer;
begin
  for I := 1 to 60 do
  begin
    SetLength(Square, I, 2 * I);
    Square[I - 1, I] := I * 3;
  end;
  for I := 0 to 59 do
    for J := 0 to High(Square[I]) do
      Count(Square[I, J]);
  for I := 1 to 22 do
  begin
    SetLength(Flat, 1 shl I);
    Flat[High(Flat)] := I;
  end;
  for I := 1 to 22 do
    Count(Flat[(1 shl I) - 1]);
  SetLength(Flat, 3);
  Count(Length(Copy(Flat, 1, 2)));
end;

{ ---- objects ---- }

type
  IShape = interface
    ['{1B8F3C7E-8A0E-4B6C-9D2C-0E9D7B1F5A10}']
    function Area: LongInt;
  end;

  TShape = class(TInterfacedObject, IShape)
    Name: string;
    Points: array of LongInt;
    constructor Create(const AName: string; Size: Integer);
    destructor Destroy; override;
    function Area: LongInt; virtual;
  end;

  TSquare = class(TShape)
    function Area: LongInt; override;
  end;

  EOurs = class(Exception);

constructor TShape.Create(const AName: string; Size: Integer);
begin
  inherited Create;
  Name := AName;
  SetLength(Points, Size);
  if Size = 13 then
    raise EOurs.Create('thirteen');
end;

destructor TShape.Destroy;
begin
  Count(Length(Name));
  inherited Destroy;
end;

function TShape.Area: LongInt;
begin
  Result := Length(Points);
end;

function TSquare.Area: LongInt;
begin
  Result := Length(Points) * Length(Points);
end;

procedure Objects;
var
  List: TStringList;
  Shape: IShape;
  Plain: TShape;
  I: Integer;
begin
  List := TStringList.Create;
  try
    for I := 0 to 999 do
      List.AddObject(IntToStr(I * 7919 mod 1009), TSquare.Create('square', I mod 12));
    List.Sort;
    for I := 0 to List.Count - 1 do
    begin
      CountText(List[I]);
      Plain := TShape(List.Objects[I]);
      Count(Plain.Area);
      Plain.Free;
    end;
  finally
    List.Free;
  end;
  Shape := TSquare.Create('counted', 5);
  Count(Shape.Area);
  Shape := nil;
  for I := 10 to 15 do
    try
      Plain := TSquare.Create('raises', I);
      Plain.Free;
    except
      on E: EOurs do
        CountText(E.Message);
    end;
end;

procedure AllVariants;
var
  V: Variant;
  Some: array of Variant;
  I: Integer;
begin
  SetLength(Some, 50);
  for I := 0 to 49 do
    if Odd(I) then
      Some[I] := 'text ' + IntToStr(I)
    else
      Some[I] := I * 1.5;
  V := VarArrayOf(Some);
  for I := 0 to 49 do
    CountText(VarToStr(V[I]));
end;

procedure Plain;
type
  PNode = ^TNode;
  TNode = record
    Next: PNode;
    Text: string;
  end;
var
  First, Node: PNode;
  P: Pointer;
  I: Integer;
begin
  First := nil;
  for I := 1 to 500 do
  begin
    New(Node);
    Node^.Text := StringOfChar('n', I);
    Node^.Next := First;
    First := Node;
  end;
  while First <> nil do
  begin
    Node := First;
    First := Node^.Next;
    CountText(Node^.Text);
    Dispose(Node);
  end;
  P := AllocMem(1000);
  for I := 0 to 999 do
    Count(PByte(P)[I]);
  if MemSize(P) < 1000 then
    Halt(10);
  PByte(P)[999] := 77;
  for I := 1 to 200 do
    ReallocMem(P, 1000 * I);
  Count(PByte(P)[999]);
  ReallocMem(P, 0);
  if P <> nil then
    Halt(11);
  FreeMem(P);
  GetMem(P, 0);
  FreeMem(P, 0);
end;

{ ---- threads: each makes what the next gives back ---- }

type
  TWorker = class(TThread)
    Got, Made: array of string;
    Sums: QWord;
    Seed: LongWord;
    procedure Execute; override;
  end;

threadvar
  Own: string;

procedure TWorker.Execute;
var
  Text: string;
  C: Char;
  I: Integer;
begin
  for Text in Got do
    for C in Text do
      Sums := (Sums xor Ord(C)) * 1099511628211;
  SetLength(Got, 0);
  SetLength(Made, 2000);
  for I := 0 to High(Made) do
  begin
    Seed := Seed * 1664525 + 1013904223;
    Made[I] := StringOfChar(Chr(32 + Seed mod 64), (Seed shr 16) mod 300);
    if I mod 3 = 0 then
      Own := Own + Made[I];
    if I mod 100 = 0 then
      Own := '';
  end;
  Own := '';
  try
    raise Exception.Create('in a thread');
  except
    on E: Exception do
      Inc(Sums, Length(E.Message));
  end;
end;

procedure Threads;
var
  Workers: array[0..3] of TWorker;
  Passed: array[0..3] of array of string;
  Round, I: Integer;
begin
  for Round := 1 to 5 do
  begin
    for I := 0 to 3 do
    begin
      Workers[I] := TWorker.Create(True);
      Workers[I].Seed := Round * 4 + I;
      Workers[I].Got := Passed[(I + 1) mod 4];
    end;
    for I := 0 to 3 do
      Passed[I] := nil;
    for I := 0 to 3 do
      Workers[I].Start;
    for I := 0 to 3 do
    begin
      Workers[I].WaitFor;
      Count(Workers[I].Sums);
      Passed[I] := Workers[I].Made;
      Workers[I].Free;
    end;
  end;
end;

var
  Global: string; { given back by the RTL after every unit has ended }
  Rounds: Integer;

begin
  {$ifdef WITH_BRAINMM}
  if not IsBrainMMInstalled then
    Halt(12);
  {$endif}
  Rounds := StrToIntDef(ParamStr(1), 20000);
  Strings(Rounds, 1);
  Arrays;
  Objects;
  AllVariants;
  Plain;
  Threads;
  Global := IntToHex(Sum, 16);
  WriteLn(Global);
  if ParamStr(2) = 'halt' then
    Halt(7);
end.
