{ Every call of the unit. Says what is wrong, and how many expectations were met. }
program Api;
{$mode objfpc}{$H+}
uses
  BrainMM, SysUtils;

var
  Met: Integer = 0;
  Failed: Integer = 0;

procedure Expect(IsMet: Boolean; const What: string);
begin
  if IsMet then
    Inc(Met)
  else
  begin
    Inc(Failed);
    WriteLn('not met: ', What);
  end;
end;

function Address(P: Pointer): NativeUInt;
begin
  Result := NativeUInt(P);
end;

procedure Manager;
var
  P: Pointer;
  Status: TFPCHeapStatus;
begin
  Expect(IsBrainMMInstalled, 'installed');
  Expect(IsMemoryManagerSet, 'set');
  P := GetMem(1000);
  Expect(MemSize(P) >= 1000, 'MemSize');
  Expect(Address(P) mod 16 = 0, 'a multiple of 16');
  Status := GetFPCHeapStatus;
  Expect((Status.CurrHeapUsed >= 1000) and (Status.CurrHeapSize >= Status.CurrHeapUsed), 'GetFPCHeapStatus');
  Expect(GetHeapStatus.TotalAllocated >= 1000, 'GetHeapStatus');
  Expect(FreeMem(P) >= 1000, 'FreeMem says how much');
  Expect(MemSize(nil) = 0, 'MemSize(nil)');
  Expect(FreeMem(nil) = 0, 'FreeMem(nil)');
end;

procedure Aligned;
var
  P: Pointer;
  Align: TMemoryAlign;
  Options: TMemoryOptions;
  I: Integer;
begin
  for Align := Low(TMemoryAlign) to High(TMemoryAlign) do
  begin
    GetMemAligned(P, Align, 5000);
    Expect(Address(P) mod (NativeUInt(16) shl Ord(Align)) = 0, 'GetMemAligned');
    Expect(GetMemoryOptions(P, Options) and (Options.Align = Align), 'GetMemoryOptions.Align');
    PByte(P)[4999] := 9;
    ReallocMem(P, 200000);
    Expect((Address(P) mod (NativeUInt(16) shl Ord(Align)) = 0) and (PByte(P)[4999] = 9), 'ReallocMem keeps it');
    RegetMem(P, 100);
    Expect(Address(P) mod (NativeUInt(16) shl Ord(Align)) = 0, 'RegetMem keeps it');
    FreeMem(P);
  end;
  P := nil;
  for I := 1 to 100 do
    RegetMem(P, I * 100);
  PByte(P)[9999] := 1;
  RegetMem(P, 0);
  Expect(P = nil, 'RegetMem to 0');
end;

procedure Blocks;
var
  Block: MemoryBlock;
  Size: TMemoryBlockSize;
  Bytes: NativeUInt;
  Options: TMemoryOptions;
begin
  for Size := Low(TMemoryBlockSize) to High(TMemoryBlockSize) do
  begin
    Bytes := NativeUInt(4096) shl (2 * Ord(Size));
    GetMemoryBlock(Block, Size);
    PByte(Block)[Bytes - 1] := 1;
    Expect(Address(Block) mod Bytes = 0, 'GetMemoryBlock');
    Expect(GetMemoryOptions(Pointer(PByte(Block) + Bytes div 2), Options) and (Options.Kind = mkBlock) and
      (Options.BlockSize = Size) and (Options.Size = Bytes) and (Options.Start = Block), 'options of a block');
    FreeMemoryBlock(Block);
    Expect(not GetMemoryOptions(Block, Options), 'a block given back');
  end;
  FreeMemoryBlock(nil);
end;

procedure Pages;
var
  P: MemoryPages;
  Options: TMemoryOptions;
  I: Integer;
begin
  GetMemoryPages(P, 3);
  Expect(Address(P) mod 4096 = 0, 'GetMemoryPages');
  PByte(P)[3 * 4096 - 1] := 42;
  for I := 4 to 300 do
    ReallocMemoryPages(P, I);
  Expect(PByte(P)[3 * 4096 - 1] = 42, 'ReallocMemoryPages keeps what is there');
  RegetMemoryPages(P, 500);
  PByte(P)[500 * 4096 - 1] := 1;
  Expect(GetMemoryOptions(P, Options) and (Options.Kind = mkPages) and (Options.Size = 500 * 4096), 'options of pages');
  Expect(GetMemoryAccessRights(P) = [marRead, marWrite], 'rights');
  ChangeMemoryAccessRights(P, 2, [marRead]);
  Expect(GetMemoryAccessRights(P) = [marRead], 'rights changed');
  Expect(GetMemoryAccessRights(Pointer(PByte(P) + 2 * 4096)) = [marRead, marWrite], 'of no others');
  ChangeMemoryAccessRights(P, 1, []);
  Expect(GetMemoryAccessRights(P) = [], 'no rights');
  ChangeMemoryAccessRights(P, 2, [marRead, marWrite]);
  Expect(GetMemoryOptions(P, Options) and (Options.AccessRights = [marRead, marWrite]), 'rights in the options');
  FreeMemoryPages(P);
  Expect(not GetMemoryOptions(P, Options), 'pages given back');
  GetMemoryPages(P, 1);
  RegetMemoryPages(P, 0);
  Expect(P = nil, 'RegetMemoryPages to 0');
  GetMemoryPages(P, 1);
  ReallocMemoryPages(P, 0);
  Expect(P = nil, 'ReallocMemoryPages to 0');
  ReallocMemoryPages(P, 2);
  Expect(P <> nil, 'ReallocMemoryPages of nil');
  FreeMemoryPages(P);
  GetMemoryPages(P, 0);
  Expect(P = nil, 'GetMemoryPages of none');
  FreeMemoryPages(nil);
end;

procedure Errors;
var
  P: Pointer;
  Got: Integer;
begin
  Got := 0;
  P := GetMem(100);
  {$ifndef WITHOUT_ERRORS}
  try
    FreeMemoryPages(P);
  except
    on EInvalidPointer do
      Inc(Got);
  end;
  try
    FreeMemoryBlock(P);
  except
    on EInvalidPointer do
      Inc(Got);
  end;
  try
    ChangeMemoryAccessRights(PByte(P) + 1, 1, [marRead]);
  except
    on EInvalidPointer do
      Inc(Got);
  end;
  Expect(Got = 3, 'EInvalidPointer');
  {$endif}
  Got := 0;
  try
    GetMem(P, High(NativeInt));
  except
    on EOutOfMemory do
      Inc(Got);
  end;
  try
    GetMemAligned(P, ma64Bytes, High(NativeInt));
  except
    on EOutOfMemory do
      Inc(Got);
  end;
  Expect(Got = 2, 'EOutOfMemory');
  FreeMem(P);
end;

procedure What;
var
  P: Pointer;
  Options: TMemoryOptions;
begin
  P := GetMem(64);
  Expect(GetMemoryOptions(P, Options) and (Options.Kind = mkSmall) and (Options.Align = ma16Bytes) and
    (Options.Size >= 64) and (Options.Start = P) and (Options.Occupied >= 64) and (Options.ThreadId <> 0), 'small');
  FreeMem(P);
  P := GetMem(3000);
  Expect(GetMemoryOptions(Pointer(PByte(P) + 100), Options) and (Options.Kind = mkMedium) and (Options.Start = P), 'medium');
  FreeMem(P);
  P := GetMem(1000000);
  Expect(GetMemoryOptions(P, Options) and (Options.Kind = mkBig), 'big');
  FreeMem(P);
  P := GetMem(100000000);
  Expect(GetMemoryOptions(P, Options) and (Options.Kind = mkLarge), 'large');
  FreeMem(P);
  Expect(not GetMemoryOptions(@Options, Options), 'on the stack');
  Expect(not GetMemoryOptions(Pointer(12345), Options), 'wild');
  ThreadHeapMinimize;
  HeapMinimize;
end;

procedure Moves;
var
  A, B: Pointer;
  I: Integer;
begin
  A := GetMem(1600);
  B := GetMem(1600);
  for I := 0 to 1599 do
    PByte(A)[I] := Byte(I * 7);
  MoveB16Aligned(A^, B^, 100);
  Expect(CompareByte(A^, B^, 1600) = 0, 'MoveB16Aligned');
  MoveB16Aligned(B^, PByte(B)[160], 90);
  Expect(CompareByte(A^, PByte(B)[160], 1440) = 0, 'MoveB16Aligned upwards');
  Move(A^, B^, 1600);
  MoveB16Aligned(PByte(B)[160], B^, 90);
  Expect(CompareByte(PByte(A)[160], B^, 1440) = 0, 'MoveB16Aligned downwards');
  FreeMem(A);
  FreeMem(B);
end;

procedure Com;
var
  Malloc: IMalloc;
  P: Pointer;
begin
  Malloc := TMalloc.Create as _IMalloc;
  P := Malloc.Alloc(100);
  Expect(Malloc.GetSize(P) >= 100, 'GetSize');
  Expect(Malloc.DidAlloc(P) = 1, 'DidAlloc');
  Expect(Malloc.DidAlloc(PByte(P) + 16) = 0, 'DidAlloc of the middle');
  Expect(Malloc.DidAlloc(@P) = 0, 'DidAlloc of another''s');
  Expect(Malloc.DidAlloc(nil) = -1, 'DidAlloc of nil');
  Expect(Malloc.GetSize(nil) = -1, 'GetSize of nil');
  PByte(P)[99] := 3;
  P := Malloc.Realloc(P, 50000);
  Expect(PByte(P)[99] = 3, 'Realloc');
  Malloc.Free(P);
  Malloc.Free(nil);
  Malloc.HeapMinimize;
  Expect(Malloc.Alloc(High(NativeInt)) = nil, 'without memory');
end;

{ return 42 }
procedure Jit;
const
  CODE: array[0..5] of Byte = ($b8, 42, 0, 0, 0, $c3);
type
  TAnswer = function: LongInt; cdecl;
var
  Heap: TJITHeap;
  Counted: IJITHeap;
  Options: TMemoryOptions;
  P: Pointer;
begin
  Heap := TJITHeap.Create;
  Counted := Heap;
  P := Heap.GetMemory(SizeOf(CODE));
  Expect(P <> nil, 'TJITHeap.GetMemory');
  {$ifdef CPUX86_64}
  Move(CODE, P^, SizeOf(CODE));
  Heap.Publish(P, SizeOf(CODE));
  Expect(TAnswer(Heap.Code(P))() = 42, 'code runs');
  {$endif}
  Heap.FreeMemory(P);
  P := Counted.SyncGetMemory(100000);
  Expect(P <> nil, 'SyncGetMemory');
  Expect(GetMemoryOptions(P, Options) and (Options.Kind = mkJIT), 'options of code');
  Counted.SyncFreeMemory(P);
  Counted.GetMemory(10);
  Counted.Clear;
  try
    Heap.FreeMemory(@P);
    Expect(False, 'FreeMemory of another''s');
  except
    on EInvalidPointer do
      Inc(Met);
  end;
end;

procedure Expected;
var
  P: Pointer;
begin
  P := GetMem(48);
  Expect(RegisterExpectedMemoryLeak(P) and UnregisterExpectedMemoryLeak(P), 'a block');
  Expect(not UnregisterExpectedMemoryLeak(@P), 'no block');
  Expect(RegisterExpectedMemoryLeak(48, 2) and UnregisterExpectedMemoryLeak(48, 2), 'a size');
  Expect(RegisterExpectedMemoryLeak('Some*') = UnregisterExpectedMemoryLeak('Some*'), 'a function');
  FreeMem(P);
  PushExpectedMemoryLeaks;
  FreeMem(GetMem(48));
  PopExpectedMemoryLeaks;
end;

function VisitBlock(Block: Pbmm_memory_options; Context: Pointer): Boolean; cdecl;
begin
  if Block^.start = PPointer(Context)^ then
    PPointer(Context)^ := nil;
  Result := True;
end;

procedure InC;
var
  P, Found, Heap: Pointer;
  Stats: bmm_stats_t;
  Options: bmm_memory_options_t;
begin
  P := bmm_malloc(100);
  P := bmm_realloc(P, 200);
  Expect(bmm_usable_size(P) >= 200, 'bmm_usable_size');
  Expect(bmm_memory_options(P, @Options) and (Options.kind = 2) and (Options.start = P), 'bmm_memory_options');
  bmm_free(P);
  P := bmm_calloc(10, 10);
  Expect(PByte(P)[99] = 0, 'bmm_calloc');
  bmm_free(P);
  Expect(bmm_pages_rights(@CompareByte) = BMM_RIGHT_READ or BMM_RIGHT_EXECUTE, 'bmm_pages_rights of code');
  P := bmm_imalloc()^.alloc(100);
  Expect((bmm_imalloc()^.did_alloc(P) = 1) and (bmm_imalloc()^.get_size(P) >= 100), 'bmm_imalloc');
  Found := P;
  bmm_heap_walk(@VisitBlock, @Found);
  Expect(Found = nil, 'bmm_heap_walk');
  bmm_imalloc()^.free(P);
  bmm_stats(@Stats);
  Expect((Stats.mapped_bytes > 0) and (Stats.kinds[BMM_MEMORY_SMALL].live_count > 0), 'bmm_stats');
  Expect(bmm_stats_json(nil, 0) > 100, 'bmm_stats_json');
  Heap := bmm_heap_create;
  P := bmm_heap_malloc_aligned(Heap, 64, 1000);
  Expect(bmm_heap_owns(Heap, P) and not bmm_heap_owns(Heap, @P), 'bmm_heap_owns');
  bmm_heap_destroy(Heap);
end;

begin
  NeverSleepOnMMThreadContention := True;
  Manager;
  Aligned;
  Blocks;
  Pages;
  if ParamStr(1) <> 'no-errors' then
    Errors;
  What;
  Moves;
  Com;
  Jit;
  Expected;
  InC;
  ReportMemoryLeaksOnShutdown := ParamStr(1) = 'report';
  if ParamStr(1) = 'report' then
    GetMem(321);
  WriteLn(Met, ' met, ', Failed, ' not');
  if Failed <> 0 then
    Halt(1);
end.
