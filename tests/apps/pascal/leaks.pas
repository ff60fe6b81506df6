{ Known leaks, each on a line that says so: test_pascal asks for exactly these. }
program Leaks;
{$mode objfpc}{$H+}
uses
  BrainMM, cthreads, SysUtils, Classes;

type
  TAnimal = class
    Name: string;
    Legs: LongInt;
  end;

  TCat = class(TAnimal)
    Lives: array[0..8] of Byte;
    constructor Create;
  end;

  TDog = class(TAnimal)
  end;

  TAnimals = class of TAnimal;

  generic TBox<T> = class
    Item: T;
  end;
  TIntBox = specialize TBox<Int64>;

  TOldStyle = object
    Number: Int64;
    constructor Init;
    procedure Speak; virtual;
  end;
  POldStyle = ^TOldStyle;

var
  Hidden: array[0..63] of QWord; { what is meant to be lost is not pointed at }
  HiddenCount: Integer = 0;

procedure Hide(P: Pointer);
begin
  Hidden[HiddenCount] := not QWord(P);
  Inc(HiddenCount);
end;

constructor TCat.Create;
begin
  inherited Create;
  Legs := 4;
end;

constructor TOldStyle.Init;
begin
  Number := 1;
end;

procedure TOldStyle.Speak;
begin
  Inc(Number);
end;

{ The class is not known from the place: one constructor's call makes them all. }
procedure Breed(Kind: TAnimals; Count: Integer);
var
  I: Integer;
begin
  for I := 1 to Count do
    Hide(Kind.Create); { leak: breed }
end;

procedure Cats;
begin
  Hide(TCat.Create); { leak: cat }
end;

procedure Box;
begin
  Hide(TIntBox.Create); { leak: box }
end;

procedure Texts;
var
  Text: string;
begin
  Text := StringOfChar('x', 1000);
  UniqueString(Text); { leak: unique }
  Text := Text + 'y'; { leak: text }
  Hide(Pointer(Text));
  Pointer(Text) := nil;
end;

procedure Numbers(Count: Integer);

  procedure Inner;
  var
    List: array of Int64;
  begin
    SetLength(List, Count); { leak: numbers }
    Hide(Pointer(List));
    Pointer(List) := nil;
  end;

begin
  Inner;
end;

procedure Raw;
var
  P: Pointer;
begin
  GetMem(P, 777); { leak: raw }
  ReallocMem(P, 888); { leak: realloc }
  Hide(P);
end;

procedure Aligned;
var
  P: Pointer;
begin
  GetMemAligned(P, ma256Bytes, 999); { leak: aligned }
  Hide(P);
end;

procedure Old;
var
  P: POldStyle;
begin
  New(P, Init); { leak: old }
  Hide(P);
end;

{ Those are meant to be: a block, a size, a function, a scope. }
procedure Meant;
var
  P: Pointer;
begin
  P := GetMem(1111);
  RegisterExpectedMemoryLeak(P);
  Hide(P);
  RegisterExpectedMemoryLeak(1112, 1);
  Hide(GetMem(1112));
  PushExpectedMemoryLeaks;
  Hide(TDog.Create);
  PopExpectedMemoryLeaks;
end;

procedure ByName;
begin
  Hide(GetMem(1113));
end;

type
  TWorker = class(TThread)
    procedure Execute; override;
  end;

procedure TWorker.Execute;
begin
  Hide(GetMem(555)); { leak: thread }
end;

var
  Worker: TWorker;

begin
  Cats;
  Breed(TCat, 2);
  Breed(TDog, 3);
  Box;
  Texts;
  Numbers(100);
  Raw;
  Aligned;
  Old;
  Meant;
  RegisterExpectedMemoryLeak('ByName');
  RegisterExpectedMemoryLeak('BYNAME'); { as DWARF 2 has it }
  ByName;
  Worker := TWorker.Create(False);
  Worker.WaitFor;
  Worker.Free;
end.
